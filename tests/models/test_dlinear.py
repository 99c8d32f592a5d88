"""DLinear against pandas, least squares, and a layer for each channel."""

import numpy as np
import pandas as pd
import pytest
import torch

from layers.decomposition import moving_average
from models.DLinear import Model
from tests.models.configs import small


@pytest.mark.parametrize("kernel", [1, 4, 5, 25, 41])
def test_moving_average(kernel):
    """Of an even kernel, pandas' centred window has its longer half in front: it runs backwards."""
    x = torch.randn(2, 30, 3, dtype=torch.float64)
    front, behind = (kernel - 1) // 2, kernel // 2
    for window, averaged in zip(x.numpy(), moving_average(x, kernel).numpy(), strict=True):
        padded = np.concatenate(
            [np.repeat(window[:1], front, 0), window, np.repeat(window[-1:], behind, 0)]
        )
        backwards = pd.DataFrame(padded[::-1])
        rolled = backwards.rolling(kernel, center=True).mean().dropna().to_numpy()[::-1]
        np.testing.assert_allclose(averaged, rolled, rtol=1e-10, atol=1e-12)
        for channel in range(3):
            convolved = np.convolve(padded[:, channel], np.full(kernel, 1 / kernel), "valid")
            np.testing.assert_allclose(averaged[:, channel], convolved, rtol=1e-10, atol=1e-12)


def waves() -> tuple[torch.Tensor, torch.Tensor]:
    """Windows of two sinusoids and a trend, without noise: `[windows, 24, 1]` and the next 10."""
    t = np.arange(300.0)
    series = np.sin(2 * np.pi * t / 12) + 0.5 * np.cos(2 * np.pi * t / 7) + 0.01 * t
    windows = np.lib.stride_tricks.sliding_window_view(series, 34)
    windows = torch.tensor(windows.copy(), dtype=torch.float32)[..., None]
    return windows[:, :24], windows[:, 24:]


def design(x: torch.Tensor, kernel: int) -> np.ndarray:
    """The inputs of both layers and the constant of the bias, `[windows, 2 * seq_len + 1]`."""
    series = x[..., 0].double().numpy()
    padded = np.pad(series, ((0, 0), (kernel // 2, kernel // 2)), mode="edge")
    trend = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=1).mean(axis=2)
    return np.concatenate([series - trend, trend, np.ones((len(series), 1))], axis=1)


def test_least_squares_are_reached():
    """The model is linear: weights by least squares predict exactly, and training nears them."""
    x, y = waves()
    inputs, outputs = design(x, 5), y[..., 0].double().numpy()
    solution = np.linalg.lstsq(inputs[:150], outputs[:150], rcond=1e-8)[0].astype(np.float32)
    model = Model(small(enc_in=1))
    model.load_state_dict(
        {
            "seasonal.weight": torch.tensor(solution[:24].T),
            "trend.weight": torch.tensor(solution[24:48].T),
            "seasonal.bias": torch.tensor(solution[48]),
            "trend.bias": torch.zeros(10),
        }
    )
    torch.testing.assert_close(model(x), y, rtol=0, atol=1e-3)

    torch.manual_seed(0)
    model = Model(small(enc_in=1))
    before = (model(x) - y).square().mean().item()
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(400):
        loss = (model(x[:150]) - y[:150]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 1e-3 * before


def test_a_layer_for_each_channel():
    """It equals a model for each channel; and all start from equal weights."""
    torch.manual_seed(0)
    model = Model(small(individual=True))
    x = torch.randn(2, 24, 3)
    for name in ("seasonal", "trend"):
        assert (getattr(model, name).weight == 1 / 24).all()
        torch.nn.init.normal_(getattr(model, name).weight)
    y = model(x)
    for channel in range(3):
        single = Model(small(enc_in=1))
        single.load_state_dict({name: p[channel] for name, p in model.state_dict().items()})
        torch.testing.assert_close(single(x[..., [channel]]), y[..., [channel]])
