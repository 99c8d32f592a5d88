"""DLinear against NumPy, least squares, and a layer for each channel."""

import numpy as np
import pytest
import torch

from layers.decomposition import moving_average
from models.DLinear import Model
from tests.models.configs import small


@pytest.mark.parametrize("kernel", [1, 4, 5, 25, 41])
def test_moving_average(kernel):
    x = torch.randn(2, 30, 3, dtype=torch.float64)
    front, behind = (kernel - 1) // 2, kernel // 2
    for window, averaged in zip(x.numpy(), moving_average(x, kernel).numpy(), strict=True):
        padded = np.concatenate(
            [np.repeat(window[:1], front, 0), window, np.repeat(window[-1:], behind, 0)]
        )
        for channel in range(3):
            convolved = np.convolve(padded[:, channel], np.full(kernel, 1 / kernel), "valid")
            np.testing.assert_allclose(averaged[:, channel], convolved, rtol=1e-10, atol=1e-12)


def test_forecast_by_hand():
    model, x = Model(small()), torch.randn(5, 24, 3)
    for layer in (model.seasonal, model.trend):
        torch.nn.init.normal_(layer.weight)
    trend = moving_average(x, 5)
    seasonal = torch.einsum("blc,pl->bpc", x - trend, model.seasonal.weight)
    y = seasonal + torch.einsum("blc,pl->bpc", trend, model.trend.weight)
    bias = model.seasonal.bias + model.trend.bias
    torch.testing.assert_close(model(x), y + bias[:, None], rtol=1e-5, atol=1e-5)


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
