"""What every baseline model keeps: shapes of each task, gradients, sizes."""

import pytest
import torch

from models import DLinear, LastValue, PatchTST, SeasonalNaive, TimesNet, iTransformer
from tests.models.configs import published, small
from utils.errors import UserError
from utils.tasks import FORECASTING, TASKS

TRAINED = (DLinear, iTransformer, PatchTST, TimesNet)
NAIVE = (LastValue, SeasonalNaive)
EVERY = [(m, task) for m in TRAINED for task in TASKS] + [
    (m, t) for m in NAIVE for t in FORECASTING
]
BATCH = 4


def name(value) -> str:
    return getattr(value, "__name__", value)


def inputs(task: str) -> dict[str, torch.Tensor]:
    """Windows as the loop passes them, and what comes with them in each task."""
    generator = torch.Generator().manual_seed(0)
    channels = 1 if task == "short_term_forecast" else 3
    x = torch.randn(BATCH, 24, channels, generator=generator)
    marks = torch.rand(BATCH, 24, 4, generator=generator) - 0.5
    if task == "long_term_forecast":
        return {"x_enc": x, "x_mark_enc": marks}
    if task == "short_term_forecast":
        return {"x_enc": 1000 + 100 * x}
    if task == "imputation":
        mask = (torch.rand(x.shape, generator=generator) > 0.25).float()
        return {"x_enc": x * mask, "x_mark_enc": marks, "mask": mask}
    if task == "classification":
        return {"x_enc": x, "x_mark_enc": (torch.arange(24) < 20).float().expand(BATCH, -1)}
    return {"x_enc": x}


def build(module, task: str, **changed) -> torch.nn.Module:
    torch.manual_seed(1)
    channels = 1 if task == "short_term_forecast" else 3
    return module.Model(small(task_name=task, enc_in=channels, c_out=channels, **changed))


def expected_shape(task: str) -> tuple[int, ...]:
    if task == "classification":
        return BATCH, 4
    return BATCH, 10 if task in FORECASTING else 24, 1 if task == "short_term_forecast" else 3


@pytest.mark.parametrize(("module", "task"), EVERY, ids=name)
def test_shapes_and_gradients(module, task):
    model = build(module, task, dropout=0.1)
    y = model.train()(**inputs(task))
    assert y.shape == expected_shape(task)
    assert y.dtype == torch.float32
    assert y.isfinite().all()
    weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    if module in TRAINED:
        (y * weights).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize(("module", "task"), EVERY, ids=name)
def test_state_is_whole(module, task):
    """All that a forward pass reads is parameters and buffers: a model moves between devices."""
    model = build(module, task).to("meta")
    if module is not TimesNet:  # its periods have values
        y = model(**{key: value.to("meta") for key, value in inputs(task).items()})
        assert y.shape == expected_shape(task)
    assert {t.device.type for t in (*model.parameters(), *model.buffers())} <= {"meta"}


@pytest.mark.parametrize(
    ("module", "sizes", "expected"),
    [
        (DLinear, {}, 2 * (96 * 96 + 96)),
        (DLinear, {"individual": True}, 7 * 2 * (96 * 96 + 96)),
        (iTransformer, {"d_model": 256, "d_ff": 256, "n_heads": 8}, 841_568),
        (PatchTST, {"d_model": 512, "d_ff": 2048, "e_layers": 1, "patch_len": 16, "stride": 8},
         3_757_152),
        (TimesNet, {"d_model": 16, "d_ff": 32, "top_k": 5, "num_kernels": 6}, 605_479),
        (LastValue, {}, 0),
        (SeasonalNaive, {}, 0),
    ],
    ids=name,
)  # fmt: skip
def test_published_size(module, sizes, expected):
    """By the formulas of their layers, in the published options."""
    model = module.Model(published(**sizes))
    assert sum(p.numel() for p in model.parameters()) == expected


def test_last_value():
    x = torch.randn(2, 24, 3)
    assert torch.equal(build(LastValue, "long_term_forecast")(x), x[:, 23:].expand(2, 10, 3))


@pytest.mark.parametrize("season", [1, 6, 10, 24])
def test_seasonal_naive(season):
    """Whole seasons, parts of one, and several."""
    x = torch.randn(2, 24, 3)
    repeated = x[:, 24 - season :].repeat(1, 10, 1)[:, :10]
    model = build(SeasonalNaive, "long_term_forecast", season_length=season)
    assert torch.equal(model(x), repeated)


@pytest.mark.parametrize(
    ("season", "said"),
    [(0, "no season: .*--season_length"), (25, "25 steps .*--seq_len 24.*--season_length")],
)
def test_seasons_of_no_use(season, said):
    with pytest.raises(UserError, match=said):
        build(SeasonalNaive, "long_term_forecast", season_length=season)


@pytest.mark.parametrize("module", TRAINED, ids=name)
def test_imputation_uses_the_mask(module):
    """Models that standardise do so by the observed entries."""
    model = build(module, "imputation").eval()
    given = inputs("imputation")
    whole = model(given["x_enc"], given["x_mark_enc"])
    assert torch.equal(model(**given), whole) == (module is DLinear)


@pytest.mark.parametrize("module", TRAINED, ids=name)
def test_which_batches_may_be_split(module):
    """`tokens_per_window` promises that windows do not depend on each other."""
    model = build(module, "long_term_forecast").train()
    given = inputs("long_term_forecast")
    given["x_enc"] = torch.randn(BATCH, 24, 3).cumsum(dim=1) + torch.arange(24)[:, None].sin()
    alone = [model(**{k: v[i : i + 1] for k, v in given.items()}) for i in range(BATCH)]
    same = torch.allclose(torch.cat(alone), model(**given), rtol=1e-4, atol=1e-5)
    assert same == hasattr(model, "tokens_per_window")


@pytest.mark.parametrize("module", [iTransformer, PatchTST], ids=name)
def test_transformer_options(module):
    with pytest.raises(UserError, match=r"--d_model 9 .*--n_heads 2"):
        module.Model(small(d_model=9))
    with pytest.raises(UserError, match="--activation tanh"):
        module.Model(small(activation="tanh"))
    relu, gelu = (build(module, "anomaly_detection", activation=a) for a in ("relu", "gelu"))
    x = inputs("anomaly_detection")["x_enc"]
    assert not torch.allclose(relu(x), gelu(x))
