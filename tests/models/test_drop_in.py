"""A model file in Time-Series-Library's convention, dropped into `models/`."""

import importlib
import json
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import torch

import layers
import models
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from models import registry
from models.PatchTST import FlattenHead
from run import EXPERIMENTS, main, parse_args
from tests.conftest import load
from tests.exp.small_runs import TASKS
from utils.options import warn_unused
from utils.timefeatures import time_features

LONG = "long_term_forecast"
# an encoder and a decoder that use all that the convention passes
SEQ2SEQ = """
    import torch
    import torch.nn as nn
    from layers.Convolution_Parts import Smooth


    class Model(nn.Module):
        def __init__(self, configs):
            super(Model, self).__init__()
            self.task_name = configs.task_name
            self.pred_len = configs.pred_len
            self.label_len = configs.label_len
            self.smooth = Smooth(configs)
            self.enc = nn.LSTM(configs.enc_in, configs.d_model, configs.e_layers, batch_first=True)
            self.norm = nn.BatchNorm1d(configs.d_model)
            self.dropout = nn.Dropout(p=configs.dropout)
            if 'forecast' in self.task_name:
                self.dec = nn.GRU(configs.dec_in, configs.d_model, batch_first=True)
            if self.task_name == 'classification':
                self.projection = nn.Linear(configs.d_model * configs.seq_len, configs.num_class)
            else:
                self.projection = nn.Linear(configs.d_model, configs.c_out)

        def forward(self, x_enc, x_mark_enc, x_dec, x_mark_dec, mask=None):
            enc_out, (h, _) = self.enc(self.smooth(x_enc))
            enc_out = self.norm(enc_out.transpose(1, 2)).transpose(1, 2)
            if self.task_name in ('long_term_forecast', 'short_term_forecast'):
                assert x_dec.shape[1] == self.label_len + self.pred_len
                dec_out, _ = self.dec(x_dec, h[-1:].contiguous())
                if x_mark_dec is not None:
                    assert x_mark_dec.shape[:2] == x_dec.shape[:2]
                    dec_out = dec_out + x_mark_dec.mean(-1, keepdim=True)
                return self.projection(self.dropout(dec_out))
            if self.task_name == 'classification':
                out = self.dropout(enc_out) * x_mark_enc.unsqueeze(-1)
                return self.projection(out.reshape(out.shape[0], -1))
            if self.task_name == 'imputation':
                assert mask is not None and x_dec is None
            return self.projection(self.dropout(enc_out))
"""
SMOOTH = """
    import torch.nn as nn

    class Smooth(nn.Module):
        def __init__(self, configs):
            super().__init__()
            self.pool = nn.AvgPool1d(configs.moving_avg, 1, configs.moving_avg // 2)

        def forward(self, x):
            return self.pool(x.permute(0, 2, 1)).permute(0, 2, 1)
"""


@pytest.fixture
def drop(tmp_path, monkeypatch):
    """Drop source files into `models/` and `layers/`, in a copy of these folders."""
    for package in (models, layers):
        folder = tmp_path / package.__name__
        folder.mkdir()
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    known = set(sys.modules)
    monkeypatch.setattr(registry, "FOLDER", tmp_path / "models")

    def write(name: str, source: str, room: str = "models") -> None:
        (tmp_path / room / f"{name}.py").write_text(dedent(source))
        forget()

    def forget() -> None:
        for function in (registry.model_names, registry.options_of, registry._source):
            function.cache_clear()
        importlib.invalidate_caches()

    yield write
    monkeypatch.undo()
    forget()
    for name in set(sys.modules) - known:
        if name.startswith(("models.", "layers.")):
            del sys.modules[name]


def command(task: str, data, model: str, *more: str) -> list[str]:
    return [
        *f"--task_name {task} --is_training 1 --model_id m --model {model}".split(),
        *TASKS[task].split(),
        *("--root_path", str(data)),
        *"--label_len 4 --batch_size 32 --train_epochs 1 --use_gpu 0 --threads 1".split(),
        *more,
    ]


@pytest.mark.parametrize("task", EXPERIMENTS)
def test_it_trains_on_every_task(drop, small_data, workdir, results, task):
    drop("Seq2seq", SEQ2SEQ)
    drop("Convolution_Parts", SMOOTH, "layers")
    assert main(command(task, small_data, "Seq2seq", "--d_model", "8")) == 0
    record = json.loads((results() / "run.json").read_text())
    assert all(np.isfinite(value) for value in record["scores"].values())
    assert record["config"]["moving_avg"] == 25  # read by a layer
    assert main(command(task, small_data, "Seq2seq", "--d_model", "8", "--is_training", "0")) == 0


def test_which_options_it_uses(drop, capsys, small_data):
    drop("Seq2seq", SEQ2SEQ)
    drop("Convolution_Parts", SMOOTH, "layers")
    more = "--d_model 8 --e_layers 1 --moving_avg 5 --enc_in 3 --dropout 0 --d_ff 7 --r 2".split()
    args = parse_args(command(LONG, small_data, "Seq2seq", *more))
    warn_unused(args, registry)
    assert capsys.readouterr().err == "warning: Seq2seq does not use --d_ff --r\n"
    assert args.model_options == ["d_model", "dropout", "e_layers", "moving_avg"]
    with pytest.raises(SystemExit):
        parse_args(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "dropout [Seq2seq]" in text
    assert "rank of LoRA; 0: no adapters [no model here]" in text


def test_configs_by_another_name(drop):
    source = linear("self.args = args; args.d_ff", "self.args.n_heads")
    drop("Odd", source.replace("configs", "args"))
    assert registry.options_of("Odd") == {"seq_len", "pred_len", "d_ff", "n_heads"}


@pytest.mark.parametrize(
    "source",
    [
        "import no_such_package\nclass Model: pass",
        "class Model:\n    def __init__(self): self.a = getattr(*self.b)",
        "class Model(:",
    ],
)
def test_an_odd_file_leaves_the_help_of_others_alone(drop, capsys, source):
    drop("Odd", source)
    with pytest.raises(SystemExit, match="0"):
        parse_args(["--help"])
    assert "width" in capsys.readouterr().out


def test_its_options_tell_runs_apart(drop, small_data, workdir):
    drop("Odd", linear("configs.moving_avg, configs.c_out"))
    for more, folders in ((), 1), (("--c_out", "3"), 1), (("--moving_avg", "3"), 2):
        assert main(command(LONG, small_data, "Odd", *more)) == 0
        assert len(list(Path("results").iterdir())) == folders


@pytest.mark.parametrize("embed", ["timeF", "fixed"])
def test_it_sees_what_the_neighbours_loaders_give(drop, small_data, workdir, results, embed):
    """Windows and marks, which the parity tests compare with theirs."""
    keep = "self.seen.append((x_enc, x_mark_enc, x_dec, x_mark_dec))"
    drop("Recorder", linear("self.seen = []", keep))
    args = parse_args(command(LONG, small_data, "Recorder", "--embed", embed, "--do_predict"))
    run = ExpLongTermForecasting(args)
    index = torch.tensor([5, 17])
    run.objective.model.seen.clear()
    run.evaluation.predict(run.windows_batch(run.train_set, index))
    (seen,) = run.objective.model.seen
    (x, y), (x_mark, y_mark) = run.train_set.batch(index), run.train_set.batch_marks(index)
    x_dec = torch.cat([x[:, -args.label_len :], torch.zeros_like(y)], dim=1)
    for found, expected in zip(seen, (x, x_mark, x_dec, y_mark), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)

    # beyond the end of the file the marks continue
    run.predict()
    _, x_mark, x_dec, y_mark = run.objective.model.seen[-1]
    (table,) = run.panel.tables
    dates = table.dates.append(run.panel.future(table, args.pred_len))
    marks = torch.tensor(time_features(dates, "h", embed), dtype=torch.float32)
    assert torch.equal(y_mark[0], marks[-12:])
    assert torch.equal(x_mark[0], marks[-32:-8])
    mean, scale = run.scaler.of(table)
    scaled = torch.tensor((table.values - mean) / scale, dtype=torch.float32)
    assert torch.equal(x_dec[0, :4], scaled[-4:])
    assert x_dec[0, 4:].abs().max() == 0


LINEAR = """
    from torch import nn

    class Model(nn.Module):
        def __init__(self, configs):
            super().__init__()
            {made}
            self.linear = nn.Linear(configs.seq_len, configs.pred_len or configs.seq_len)

        def forward(self, x_enc, x_mark_enc, x_dec, x_mark_dec, mask=None):
            {first}
            return self.linear(x_enc.transpose(1, 2)).transpose(1, 2)
"""


def linear(made: str = "pass", first: str = "pass") -> str:
    """A linear model's source, with a statement in `__init__` and one in `forward`."""
    return dedent(LINEAR.format(made=made, first=first))


def importing(line: str) -> str:
    return f"{line}\nclass Model: pass\n"


NOT_SUPPORTED = "Odd does not support --task_name long_term_forecast: "


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (linear("configs.hidden_width"), "models/Odd.py reads configs.hidden_width, but there is "),
        (linear("raise ValueError('no such task')"), "ValueError: no such task"),
        (linear("import no_such_package"), "no_such_package"),
        (linear(first="return None"), NOT_SUPPORTED),
        (linear(first="self.head(x_enc)"), NOT_SUPPORTED),
        (linear(first="return x_enc[:, :3]"), "Odd.py returns (2, 3, 3) instead of (2, 8, 3)"),
        (linear(first="x_enc @ x_enc"), "fails in --task_name long_term_forecast, for windows (2,"),
        (importing("from layers.Embed import DataEmbedding\nfrom utils.masking import ProbMask"),
         "models/Odd.py needs layers/Embed.py, utils/masking.py: missing, copy them too"),
        (importing("from layers.match import Attention"), "cannot import name 'Attention'"),
        (importing("import reformer_pytorch"), "not installed: pip install reformer-pytorch"),
        (importing("import pywt"), "pywt, which is not installed: pip install PyWavelets"),
        (importing("import nobody_knows"), "the module nobody_knows, which is not installed"),
        (importing("1 / 0"), "models/Odd.py can't be imported: ZeroDivisionError"),
        ("import torch\nclass Model(:\n", "models/Odd.py, line 2: invalid syntax"),
        ("class Net: pass\n", "models/Odd.py has no class Model"),
    ],
)  # fmt: skip
def test_what_it_lacks_is_one_line(drop, small_data, refused, source, said):
    drop("Odd", source)
    assert said in refused(command(LONG, small_data, "Odd"))


def test_a_hint_at_the_label_length(drop, small_data, refused):
    drop("Odd", linear("configs.label_len", "x_enc @ x_enc"))
    given = command(LONG, small_data, "Odd", "--label_len", "0")
    assert "it may need a --label_len above 0" in refused(given)


def test_names_that_the_neighbours_give(drop, small_data, workdir):
    """To frequencies and to the loss; and a default of its own is no missing option."""
    for given, seen in (("15min", "t"), ("H", "h"), ("w", "w"), ("QE", "q")):
        name = f"Odd_{seen}"
        drop(name, linear(f"assert configs.freq == '{seen}'"))
        ExpLongTermForecasting(parse_args(command(LONG, small_data, name, "--freq", given)))
    drop("Odd", linear("assert getattr(configs, 'hidden_width', 4) == 4"))
    args = parse_args(command(LONG, small_data, "Odd", "--loss", "MSE"))
    assert (args.task_loss, "task_loss" in args.given) == ("mse", True)
    ExpLongTermForecasting(args)


def test_random_numbers_in_evaluation(drop, small_data, workdir, results):
    """The same checkpoint gives the same forecasts, whatever was drawn before."""
    drop(
        "Odd",
        linear("import torch; self.t = torch", "x_enc = x_enc + self.t.rand(1)"),
    )
    given = command(LONG, small_data, "Odd")
    assert main(given) == 0
    before = load(results() / "pred.npy")
    assert main([*given, "--is_training", "0"]) == 0
    np.testing.assert_array_equal(load(results() / "pred.npy"), before)


WEIGHTED = """
    from models.interface import ParameterGroup
    from models.supervised import SupervisedObjective

    class Objective(SupervisedObjective):
        loss_names = ("task", "size")

        def losses(self, batch, weight):
            task = super().losses(batch, weight)["total"]
            size = self.model.linear.weight.square().mean() * weight.windows
            return {"total": task + size, "task": task.detach(), "size": size.detach()}

        def parameter_groups(self):
            linear = self.model.linear
            biases = ParameterGroup("biases", [linear.bias], 1e-2)
            return [ParameterGroup("weights", [linear.weight]), biases]
"""


def test_an_objective_of_its_own(drop, small_data, workdir, capsys):
    drop("Weighted", linear() + dedent(WEIGHTED))
    assert main(command(LONG, small_data, "Weighted")) == 0
    assert ", size 0.0" in capsys.readouterr().out


def test_one_channel_of_several(drop, small_data, workdir, results, refused):
    """With MS a model may forecast the target alone, which it takes to be the last column."""
    drop("Odd", linear(first="x_enc = x_enc[:, :, -1:]"))
    columns = pd.read_csv(small_data / "made_up.csv").columns
    more = ("--features", "MS", "--target", columns[1])  # which comes last
    assert main(command(LONG, small_data, "Odd", *more)) == 0
    assert load(results() / "pred.npy").shape[2] == 1
    assert "returns (2, 8, 1) instead of (2, 8, 3)" in refused(command(LONG, small_data, "Odd"))


def test_the_neighbours_head_maps_features_before_patches():
    head = FlattenHead(3, 8, 5, head_dropout=0.5)
    x = torch.randn(2, 3, 4, 2)  # [batch, n_vars, d_model, patches]
    outputs = head(x)
    assert outputs.shape == (2, 3, 5)
    assert (outputs == 0).any()
    expected = torch.nn.functional.linear(x.flatten(2), head.linear.weight, head.linear.bias)
    assert torch.equal(head.eval()(x), expected)
