"""TimesNet: periods of known series, the merged convolution, folding, and the embedding."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from layers.embedding_of_steps import StepEmbedding
from models.TimesNet import Model, TimesBlock, periods
from tests.models.configs import small
from utils.errors import UserError


def test_periods_of_sinusoids():
    t = torch.arange(96.0)
    strong, weak = torch.sin(2 * math.pi * t / 12), 0.5 * torch.cos(2 * math.pi * t / 32)
    x = torch.stack([strong + weak + 100, 2 * strong - 50], dim=1).expand(3, -1, -1)
    found, amplitude = periods(x, 2)
    assert found == [12, 32]  # and not the mean, frequency 0
    expected = torch.tensor([48 * (1 + 2) / 2, 48 * 0.5 / 2]).expand(3, -1)
    torch.testing.assert_close(amplitude, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("length", [24, 25, 29])
def test_block_by_hand(length):
    """Fold each channel by NumPy, also where the period does not divide the length."""
    torch.manual_seed(0)
    block = TimesBlock(4, 6, top_k=3, num_kernels=2)
    for kernel in (*block.conv[0].kernels, *block.conv[2].kernels):  # whose mean is one kernel
        torch.nn.init.normal_(kernel.bias)
    x = torch.randn(2, length, 4)
    found, amplitude = periods(x, 3)
    assert [p for p in found if length % p] or length == 24
    weight = np.exp(amplitude.double().numpy())
    weight /= weight.sum(axis=1, keepdims=True)
    expected = x.double().numpy()
    for i, period in enumerate(found):
        rows = math.ceil(length / period)
        folded = np.zeros((2, 4, rows, period), dtype=np.float32)
        for step in range(length):
            folded[:, :, step // period, step % period] = x[:, step]
        y = torch.from_numpy(folded)
        for j in (0, 2):
            y = torch.stack([kernel(y) for kernel in block.conv[j].kernels]).mean(dim=0)
            y = F.gelu(y) if j == 0 else y
        for step in range(length):
            part = y[:, :, step // period, step % period].detach().numpy()
            expected[:, step] += weight[:, i : i + 1] * part
    found_output = block(x)
    assert found_output.shape == x.shape
    np.testing.assert_allclose(found_output.detach(), expected, rtol=1e-4, atol=1e-5)


def test_embedding_by_hand():
    """The convolution is circular; positions are those of the transformer; marks are added."""
    torch.manual_seed(0)
    embedding = StepEmbedding(24, 3, 8, 0.0, "h")
    x, marks = torch.randn(2, 24, 3), torch.rand(2, 24, 4)
    kernel = embedding.value.weight
    expected = torch.zeros(2, 24, 8)
    for step in range(24):
        for tap in range(3):
            expected[:, step] += x[:, (step + tap - 1) % 24] @ kernel[:, :, tap].T
        for i in range(4):
            angle = step / 10000 ** (2 * i / 8)
            expected[:, step, 2 * i] += math.sin(angle)
            expected[:, step, 2 * i + 1] += math.cos(angle)
    torch.testing.assert_close(embedding(x), expected, rtol=1e-4, atol=1e-5)
    expected = expected + marks @ embedding.marks.weight.T
    torch.testing.assert_close(embedding(x, marks), expected, rtol=1e-4, atol=1e-5)


def test_integer_marks():
    """Month, day, weekday, hour and quarter of an hour, up to their largest values."""
    embedding = Model(small(embed="fixed", freq="15min")).embedding
    marks, x = torch.tensor([12.0, 31, 6, 23, 3]).expand(2, 24, 5), torch.randn(2, 24, 3)
    tables = zip(embedding.marks.tables, (12, 31, 6, 23, 3), strict=True)
    expected = sum(table.weight[i] for table, i in tables).expand(2, 24, 8)
    torch.testing.assert_close(embedding(x, marks) - embedding(x), expected, rtol=1e-5, atol=1e-5)
    assert len(Model(small(embed="fixed")).embedding.marks.tables) == 4


def test_padded_steps_do_not_count():
    """Of a classified window, only real steps reach the logits directly."""
    model = Model(small(task_name="classification"))
    x = torch.randn(2, 24, 3)
    nothing = model(x, torch.zeros(2, 24))
    torch.testing.assert_close(nothing, model.projection.bias.expand(2, -1))
    assert torch.equal(model(x, torch.ones(2, 24)), model(x))
    features = F.gelu(model.encode(model.embedding(x))).flatten(1)
    expected = features @ model.projection.weight.T + model.projection.bias
    torch.testing.assert_close(model(x), expected)


def test_forecast_is_the_end():
    """The look-back is extended by the horizon; the steps behind it are the forecast."""
    torch.manual_seed(0)
    model = Model(small())
    x, marks = torch.randn(2, 24, 3) * 4 + 3, torch.rand(2, 24, 4)
    mean = x.mean(dim=1, keepdim=True)
    std = (x.var(dim=1, correction=0, keepdim=True) + 1e-5).sqrt()
    tokens = model.embedding((x - mean) / std, marks)
    tokens = torch.einsum("bld,sl->bsd", tokens, model.extend.weight)
    tokens = tokens + model.extend.bias[:, None]
    for block in model.blocks:
        tokens = F.layer_norm(block(tokens), (8,))
    y = tokens[:, 24:] @ model.projection.weight.T + model.projection.bias
    torch.testing.assert_close(model(x, marks), y * std + mean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("task", "length"), [("long_term_forecast", 14), ("imputation", 8)])
def test_more_periods_than_frequencies(task, length):
    options = {"task_name": task, "seq_len": 8, "pred_len": 6}
    Model(small(**options, top_k=length // 2))(torch.randn(2, 8, 3))
    with pytest.raises(UserError, match=f"--top_k {length // 2 + 1}.*{length} steps"):
        Model(small(**options, top_k=length // 2 + 1))
