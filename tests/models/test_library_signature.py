"""Models as Time-Series-Library's training loop calls them."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from models import CALF, GPT4TS

CHANNELS, STEPS, HORIZON, CLASSES = 3, 16, 5, 4
MODELS = {"CALF": CALF, "GPT4TS": GPT4TS}


@pytest.fixture
def options(small_gpt2) -> SimpleNamespace:
    return SimpleNamespace(
        seq_len=STEPS, label_len=8, pred_len=HORIZON, enc_in=CHANNELS, num_class=CLASSES,
        d_model=24, gpt_layers=2, r=4, lora_alpha=8, lora_dropout=0.1,
        word_embedding_path=str(small_gpt2 / "words.pt"), llm=str(small_gpt2),
        llm_weights="pretrained", seed=1,
        llm_ablation="none", patch_len=6, stride=4,
    )  # fmt: skip


def called_by_the_library(model: nn.Module, task: str, x: Tensor) -> Tensor:
    """Call a model as the library's experiment of `task` does."""
    marks = torch.randn(len(x), STEPS, 4)
    if task == "classification":
        return model(x, torch.ones(len(x), STEPS), None, None)
    if task == "anomaly_detection":
        return model(x, None, None, None)
    if task == "imputation":
        mask = (torch.rand_like(x) > 0.3).float()
        return model(x.masked_fill(mask == 0, 0), marks, None, None, mask)
    decoder = torch.randn(len(x), 8 + HORIZON, CHANNELS)
    return model(x, marks, decoder, torch.randn(len(x), 8 + HORIZON, 4))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("task", "shape"),
    [
        ("long_term_forecast", (2, HORIZON, CHANNELS)),
        ("short_term_forecast", (2, HORIZON, CHANNELS)),
        ("imputation", (2, STEPS, CHANNELS)),
        ("anomaly_detection", (2, STEPS, CHANNELS)),
        ("classification", (2, CLASSES)),
    ],
)
@pytest.mark.parametrize("name", MODELS)
def test_forward_returns_the_prediction(options, name, task, shape, training):
    model = MODELS[name].Model(SimpleNamespace(task_name=task, **vars(options))).train(training)
    y = called_by_the_library(model, task, torch.randn(2, STEPS, CHANNELS))
    assert type(y) is Tensor
    assert y.shape == shape
    y.square().sum().backward()
    missing = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all("text" in n or n.startswith(("in_layer.cross", "time_proj")) for n in missing)


@pytest.mark.parametrize("name", MODELS)
def test_a_mask_acts(options, name):
    """The library passes it as the fifth argument."""
    model = MODELS[name].Model(SimpleNamespace(task_name="imputation", **vars(options))).eval()
    x, mask = torch.randn(2, STEPS, CHANNELS), torch.ones(2, STEPS, CHANNELS)
    mask[:, 3:7] = 0
    x = x * mask
    assert not torch.allclose(model(x, None, None, None, mask), model(x, None, None, None))
