"""GPT4TS against transformers' GPT-2 on patches cut by hand, and its sizes."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from transformers import GPT2Model

from layers.backbone import load_backbone
from layers.branches import ABLATIONS, REPLACED
from models.GPT4TS import Model
from tests.models.same_results import assert_every_way_agrees
from utils.errors import UserError

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture
def options(small_gpt2) -> SimpleNamespace:
    return SimpleNamespace(
        task_name="long_term_forecast", seq_len=20, pred_len=5, enc_in=3, num_class=4, patch_len=6,
        stride=4, d_model=24, gpt_layers=2, llm=str(small_gpt2), llm_weights="pretrained",
        llm_ablation="none", seed=1,
    )  # fmt: skip


def build(options: SimpleNamespace, **changes) -> Model:
    torch.manual_seed(0)
    model = Model(SimpleNamespace(**vars(options) | changes)).eval()
    for parameter in model.parameters():  # away from what a new model begins with
        parameter.data += 0.02 * torch.randn_like(parameter)
    return model


def cut(series: list[float], patch_len: int, stride: int) -> list[list[float]]:
    """Patches of one series, in plain Python."""
    padded = series + [series[-1]] * stride
    starts = range(0, len(padded) - patch_len + 1, stride)
    return [padded[start : start + patch_len] for start in starts]


def hugging_face(model: Model, gpt_layers: int, llm: str) -> GPT2Model:
    """Transformers' GPT-2 with the weights of ours."""
    theirs = load_backbone(llm).eval()
    theirs.h = theirs.h[:gpt_layers]
    found = theirs.load_state_dict(model.gpt2.state_dict(), strict=False)
    assert found.missing_keys == ["wte.weight"]
    assert not found.unexpected_keys
    return theirs


def encode(model: Model, theirs: GPT2Model, x: Tensor, options: SimpleNamespace) -> list[Tensor]:
    """Flat outputs of transformers' GPT-2 for the channels of a window `[seq_len, channels]`."""
    found = []
    for channel in x.T.tolist():
        tokens = model.in_layer(torch.tensor(cut(channel, options.patch_len, options.stride)))
        found.append(theirs(inputs_embeds=tokens[None]).last_hidden_state.flatten())
    return found


@pytest.mark.parametrize("gpt_layers", [1, 2, 3])
@pytest.mark.parametrize("task", ["long_term_forecast", "imputation", "classification"])
@torch.no_grad()
def test_agrees_with_hugging_face(options, task, gpt_layers):
    """Each channel is standardised, by what the mask shows; for logits it is not, and all channels
    of a window make them."""
    model = build(options, task_name=task, gpt_layers=gpt_layers)
    theirs = hugging_face(model, gpt_layers, options.llm)
    x, mask = torch.randn(2, 20, 3) * 3 + 5, None
    if task == "imputation":
        mask = (torch.rand_like(x) > 0.3).float()
        x = x * mask
    y = model(x, torch.ones(2, 20) if task == "classification" else None, None, None, mask)
    for window in range(2):
        if task == "classification":
            flat = torch.cat(encode(model, theirs, x[window], options))
            torch.testing.assert_close(y[window], model.out_layer(flat), **CLOSE)
            continue
        w = x[window].double()
        seen = torch.ones_like(w) if mask is None else mask[window].double()
        mean = w.mean(0)
        centred = (w - mean) * seen
        scale = ((centred**2).sum(0) / seen.sum(0) + 1e-5).sqrt()
        flat = encode(model, theirs, (centred / scale).float(), options)
        expected = torch.stack([model.out_layer(channel) for channel in flat], dim=1)
        torch.testing.assert_close(y[window], (expected * scale + mean).float(), **CLOSE)


def test_what_is_trained(options):
    model = build(options)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        "in_layer.weight", "in_layer.bias", "out_layer.weight", "out_layer.bias",
        "gpt2.wpe.weight", "gpt2.ln_f.weight", "gpt2.ln_f.bias",
        *(f"gpt2.h.{i}.ln_{n}.{p}" for i in (0, 1) for n in (1, 2) for p in ("weight", "bias")),
    }  # fmt: skip
    frozen = build(options, llm_ablation="frozen_norms")
    assert {name for name, p in frozen.named_parameters() if p.requires_grad} == {
        name for name, p in model.named_parameters() if p.requires_grad and "ln_" not in name
    }
    for llm_ablation in REPLACED:
        model = build(options, llm_ablation=llm_ablation, gpt_layers=99)
        assert all(p.requires_grad for p in model.parameters())
        assert len(model.gpt2.h) == (llm_ablation != "identity")
    assert model.backbone.endswith("with its weights, without its blocks")


def test_parameters_at_the_published_size(options):
    """L = P = 96, patches of 16 every 8, 6 of GPT-2's blocks: by formula."""
    sizes = {"seq_len": 96, "pred_len": 96, "patch_len": 16, "stride": 8, "d_model": 768}
    model = build(options, **sizes, gpt_layers=6, llm="gpt2", llm_weights="random")
    d, positions, n_patches = 768, 1024, 12
    trained = (16 + 1) * d + positions * d + (6 * 4 + 2) * d + (d * n_patches + 1) * 96
    counts = [p.numel() for p in model.parameters() if p.requires_grad]
    assert sum(counts) == trained == 1_704_288
    assert sum(p.numel() for p in model.parameters()) == trained + 6 * (12 * d * d + 9 * d)
    assert model.tokens_per_window == 3 * n_patches


@pytest.mark.parametrize("llm_ablation", ABLATIONS)
def test_fast_modules_and_checkpointed_blocks(options, llm_ablation):
    model = build(options, llm_ablation=llm_ablation)
    x = torch.randn(4, 20, 3)
    assert_every_way_agrees(model, lambda: [model(x)])
    assert model.gpt2.is_activation_checkpointing


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch_len": 25}, "--patch_len 25 .*--seq_len 20 .*--stride 4 "),
        ({"stride": 1, "seq_len": 37}, "33 patches.* positions for 32"),
        ({"d_model": 48}, "--d_model 24"),
        ({"gpt_layers": 4}, "3 blocks"),
    ],
)
def test_refused(options, changes, said):
    with pytest.raises(UserError, match=said):
        build(options, **changes)
