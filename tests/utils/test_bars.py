"""Progress: who shows it, and where it is left out."""

import io
import sys
import time
from contextlib import redirect_stderr

import pandas as pd
import pytest

from exp.forecaster import CALFForecaster
from utils import bars

OPTIONS = {"h": 8, "input_size": 24, "train_epochs": 1, "use_gpu": False, "gpt_layers": 1,
           "word_embedding_path": "none"}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch) -> Terminal:
    """A terminal, where everything is shown at once, for `redirect_stderr`."""
    monkeypatch.setattr(bars, "OFTEN", 0.001)
    return Terminal()


def test_everything_long_shows_progress(terminal, synthetic_csv, small_gpt2):
    with redirect_stderr(terminal):
        forecaster = CALFForecaster(llm=str(small_gpt2), **OPTIONS).fit(synthetic_csv)
        forecaster.predict(level=[80])
    shown = terminal.getvalue()
    for label in ("epoch 1/1", "scoring", "interval calibration", "forecasting"):
        assert f"{label}: 100%" in shown, label
    assert "<00:0" in shown  # the time left


def test_nothing_is_shown_without_verbose(terminal, synthetic_csv, small_gpt2, monkeypatch):
    """Not in a notebook either, whose widgets do not pass through the error stream."""
    made = []

    class Recorded(bars.tqdm):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            made.append(self.disable)

    monkeypatch.setattr(bars, "tqdm", Recorded)
    with redirect_stderr(terminal):
        quiet = CALFForecaster(llm=str(small_gpt2), verbose=False, **OPTIONS).fit(synthetic_csv)
        quiet.predict(pd.read_csv(synthetic_csv))
    assert made and all(made)
    assert terminal.getvalue() == "" and not bars.are_hidden()


def test_a_clock_ticks_until_the_end(terminal):
    with redirect_stderr(terminal), pytest.raises(KeyError), bars.clock("adding"):
        while "adding: 00:00" not in terminal.getvalue():
            time.sleep(0.01)
        raise KeyError
    length = len(terminal.getvalue())
    with redirect_stderr(terminal), bars.hidden_bars(), bars.clock("hidden"):
        time.sleep(0.05)
    assert len(terminal.getvalue()) == length


def test_a_file_gets_few_lines(monkeypatch, capsys):
    with bars.progress_bar("long", 1000) as bar, bars.clock("short"):
        for _ in range(1000):
            bar.update()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(
        sys, "stderr", type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    )
    assert bars.interval() == bars.OFTEN
