"""CALF as the training loop sees it."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.exp.small_runs import experiment
from utils.batch import Batch, Weight


def test_compiled(workdir, small_data, monkeypatch):
    """Losses and predictions run compiled; the model, its copies and its names stay as they are."""
    run = experiment("long_term_forecast", small_data, "--fast_cpu", "off", "--gpt_layers", "1")
    objective, shape = run.objective, (2, run.args.seq_len, run.n_channels)
    batch = Batch(torch.randn(shape), torch.randn(2, run.args.pred_len, run.n_channels))
    objective.model.eval()
    losses, y = objective.losses(batch, Weight()), objective.predict(batch)
    names = objective.saved_state().keys()

    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    objective.compile()
    for name, value in objective.losses(batch, Weight()).items():
        assert value.item() == pytest.approx(losses[name].item(), rel=1e-5)
    graphs = counter.frame_count
    assert graphs > 0
    torch.testing.assert_close(objective.predict(batch), y)
    assert counter.frame_count > graphs
    assert objective.saved_state().keys() == names
    assert torch.equal(deepcopy(objective.model)(batch.x), y)
