"""Models with covariates: what a forecast depends on, on every backbone."""

import pytest
import torch

from layers.covariates import standardise_by_history
from models.CALF import CALFConfig
from models.CALF import Model as CALF
from models.iTransformer import Model as ITransformer
from tests.layers.families import WIDTH
from tests.models.configs import small
from utils.errors import UserError

NAMES = {"past_covariates": ["a", "b"], "future_covariates": ["c"]}
SIZES = {"seq_len": 24, "pred_len": 10}


def calf(folder, **options) -> CALF:
    torch.manual_seed(0)
    config = {"d_model": WIDTH, "gpt_layers": 2, "word_embedding_path": "none"} | SIZES | options
    return CALF(CALFConfig(llm=str(folder), **config)).eval()


def windows() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    covariates = {"past": torch.randn(4, 24, 2), "future": torch.randn(4, 34, 1)}
    return torch.randn(4, 24, 3), covariates


def check(model, predict) -> None:
    """All that is known is read, and the forecast is of the targets alone."""
    x, covariates = windows()
    for values in covariates.values():
        values.requires_grad_()
    y = predict(x, **covariates)
    assert y.shape == (4, 10, 3)
    y[..., 0].square().sum().backward()  # causal attention: of the first target
    for values in covariates.values():
        assert (values.grad != 0).any(dim=1).all()
    assert (covariates["future"].grad[:, 24:] != 0).all()
    swapped = predict(x.flip(2), **covariates)
    assert not torch.equal(y, swapped)


def test_calf_on_every_backbone(folders, family):
    model = calf(folders[family], **NAMES)
    check(model, lambda x, past, future: model(x, past_covariates=past, future_covariates=future))


def test_itransformer():
    model = ITransformer(small(**NAMES))
    check(model, lambda x, past, future: model(x, past_covariates=past, future_covariates=future))
    marks = torch.rand(4, 24, 4)
    x, covariates = windows()
    named = {f"{when}_covariates": values for when, values in covariates.items()}
    assert model(x, marks, **named).shape == (4, 10, 3)


@pytest.mark.parametrize("build", [calf, lambda _, **names: ITransformer(small(**names))])
def test_without_covariates_parameters_are_the_same(folders, build):
    """Of equal seeds, bit by bit; one layer more is all that those known ahead need."""
    torch.manual_seed(0)
    plain = build(folders["gpt2"]).state_dict()
    torch.manual_seed(0)
    past = build(folders["gpt2"], past_covariates=["a"]).state_dict()
    assert plain.keys() == past.keys() and all(plain[n].equal(past[n]) for n in plain)
    ahead = build(folders["gpt2"], future_covariates=["a"]).state_dict().keys() - plain.keys()
    assert {name.rpartition(".")[2] for name in ahead} == {"weight", "bias"} and len(ahead) == 2


def test_losses_are_of_the_targets(folders):
    model = calf(folders["gpt2"], **NAMES)
    x, covariates = windows()
    output = model.branches(x, text_branch=True, features=True, **covariates)
    assert output.outputs_text.shape == (4, 10, 3)
    for state in (*output.features_time, *output.features_text):
        assert state.shape == (4, 3, WIDTH)
    with pytest.raises(UserError, match="made for 3 covariates, not for 0"):
        model(x)
    with pytest.raises(UserError, match="31 channels and 3 covariates"):
        model.check_channels(31)


def test_a_covariate_is_standardised_by_its_own_history():
    """A restless history by its spread; one that is calm or constant by the training rows', so that
    the first event after it keeps its size."""
    values = torch.randn(3, 30, 3, dtype=torch.float64)
    history = values[:, :24]
    restless = values[..., 0] - history[..., :1].mean(1)
    values[..., 0] = 5 * restless / history[..., 0].std(1)[:, None]
    values[..., 1] = 0.001 * values[..., 1] + 7
    values[..., 2] = torch.cat((torch.zeros(3, 24), torch.ones(3, 6)), dim=1)
    found = standardise_by_history(values, 24)
    torch.testing.assert_close(found[:, :24].mean(1), torch.zeros(3, 3, dtype=torch.float64))
    spread = found[:, :24].std(1, unbiased=False)
    torch.testing.assert_close(spread[:, 0], torch.ones(3, dtype=torch.float64))
    assert (spread[:, 1] < 0.002).all()
    assert torch.equal(found[..., 2], values[..., 2])
    torch.testing.assert_close(standardise_by_history(values + 3, 24), found)
