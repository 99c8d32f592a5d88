"""All recordings of the reference's data loaders."""

import json
import re
from argparse import Namespace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from data_provider.panel import Panel
from data_provider.reader import read_panel
from data_provider.splits import NoWindowError, Splits, chosen_series
from tests.conftest import GOLDEN

ROWS = json.loads((GOLDEN / "loaders.json").read_text()) if GOLDEN.is_dir() else []


def full_rows() -> list[dict]:
    """Recordings of failures lack some keys, which other recordings of the set have."""
    known = {row["root"]: row for row in ROWS if "file" in row}
    keys = ("file", "freq", "target", "seq_len")
    return [{**{key: known[row["root"]][key] for key in keys}, **row} for row in ROWS]


def name(row: dict) -> str:
    file = row["file"].removesuffix(".csv")
    return f"{file}-{row['features']}-{row['percent']}-{row['flag']}-{row['pred_len']}"


@cache
def panel_of(path: Path) -> Panel:
    """Read a file once, which takes most of the time."""
    return read_panel(path)


@pytest.mark.skipif(not ROWS, reason=f"no recordings of the reference at {GOLDEN}")
@pytest.mark.parametrize("row", full_rows(), ids=name)
def test_row(row, real_data):
    same = ("data", "features", "target", "freq", "seq_len", "pred_len", "percent")
    args = Namespace(
        **{name: row[name] for name in same},
        root_path=real_data / row["root"],
        data_path=row["file"],
        embed="timeF",
        label_len=0,
        split=None,
        protocol="sound",
        given=["target"],
    )
    panel = panel_of(real_data / row["root"] / row["file"])
    source = Splits(panel.only(chosen_series(panel, args)), args)
    if "error" in row:
        with pytest.raises(NoWindowError) as caught:
            source.split(row["flag"])
        assert re.search(r"\d+ rows are missing", str(caught.value))
        return
    windows = source.split(row["flag"])
    assert len(windows) == row["windows"]
    assert windows.n_channels == row["channels"]
    np.testing.assert_allclose(windows.mean[0], row["scaler_mean"], rtol=1e-9)
    np.testing.assert_allclose(windows.scale[0], row["scaler_scale"], rtol=1e-9)
    for which, index in (("first", 0), ("last", len(windows) - 1)):
        if which not in row:
            continue
        theirs = row[which]
        index = torch.tensor([index])
        parts = (*windows.batch(index), windows.batch_marks(index)[0])
        x, y, x_mark = (part[0].double().numpy() for part in parts)
        assert list(x.shape) == theirs["x_shape"]
        assert list(y.shape) == theirs["y_shape"]
        # sums cancel, so that rounding counts against the size of what is summed
        for part, total in ((x, theirs["x_sum"]), (y, theirs["y_sum"])):
            assert abs(part.sum() - total) <= 1e-5 * max(abs(total), np.abs(part).mean())
        np.testing.assert_allclose(x[0], theirs["x_head"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(y[-1], theirs["y_tail"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(x_mark[0], theirs["x_mark_head"], atol=1e-6)
