"""The whole model: sizes, what runs when, and what it refuses."""

from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from layers.fast_cpu import install
from models.CALF import CALFConfig, CALFOutput, Model
from models.objectives import parameter_groups
from tests.exp.small_runs import experiment
from utils.batch import Batch, Weight
from utils.errors import UserError
from utils.tasks import TASKS

SIZES = {"seq_len": 16, "pred_len": 5, "d_model": 24, "gpt_layers": 2}


@pytest.fixture
def model(small_gpt2) -> Model:
    torch.manual_seed(0)
    words = str(small_gpt2 / "words.pt")
    return Model(CALFConfig(**SIZES, llm=str(small_gpt2), word_embedding_path=words))


def test_published_size():
    model = Model(CALFConfig(llm_weights="random"), word_embeddings=torch.randn(768, 500))
    parameters = list(model.parameters())
    assert sum(p.numel() for p in parameters if p.requires_grad) == 18_022_496
    assert sum(p.numel() for p in parameters) < 65_000_000
    assert not [name for name, _ in model.named_modules() if name.endswith("wte")]
    optimised = [p for group in parameter_groups(model) for p in group.parameters]
    assert sum(p.numel() for p in optimised) == 18_022_496


def test_textual_branch_runs_only_where_asked_for(model):
    x, runs = torch.randn(2, 16, 3), []
    model.gpt2_text.register_forward_hook(lambda *_: runs.append(1))
    output = model.eval().branches(x)
    assert output.outputs_time.shape == (2, 5, 3)
    assert output.outputs_text is None and output.features_time is None
    model.train().branches(x, text_branch=False)
    model(x)
    assert not runs
    output = model.branches(x)
    assert len(runs) == 1
    assert output.outputs_text.shape == (2, 5, 3)
    assert len(output.features_time) == len(output.features_text) == 3


def test_no_attention_maps_are_kept(model):
    install(model)  # PyTorch's own attention keeps them on the CPU when it drops some
    model.train()
    sizes = []
    pack = lambda tensor: sizes.append(tuple(tensor.shape)) or tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.branches(torch.randn(2, 16, 31), text_branch=True).outputs_text.sum().backward()
    assert not [size for size in sizes if size[-2:] == (31, 31)]


def called_by_the_library(model: Model, task: str, x: torch.Tensor) -> torch.Tensor:
    """Call a model as the experiment of `task` of Time-Series-Library does."""
    marks = torch.randn(2, 16, 4)
    if task == "classification":
        return model(x, torch.ones(2, 16), None, None)
    if task == "anomaly_detection":
        return model(x, None, None, None)
    if task == "imputation":
        mask = (torch.rand_like(x) > 0.3).float()
        y = model(x * mask, marks, None, None, mask)
        assert not torch.allclose(y, model(x * mask, marks, None, None))
        return y
    return model(x, marks, torch.randn(2, 8 + 5, 3), torch.randn(2, 8 + 5, 4))


@pytest.mark.parametrize("task", TASKS)
def test_the_librarys_signature(small_gpt2, task):
    """`forward` returns the prediction alone."""
    lora = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.1}
    paths = {"llm": str(small_gpt2), "word_embedding_path": str(small_gpt2 / "words.pt")}
    options = {"task_name": task, "label_len": 8, "enc_in": 3, "num_class": 4}
    model = Model(SimpleNamespace(**SIZES, **lora, **paths, **options))
    y = called_by_the_library(model, task, torch.randn(2, 16, 3))
    steps = (2, 5, 3) if "forecast" in task else (2, 16, 3)
    assert type(y) is torch.Tensor
    assert y.shape == ((2, 4) if task == "classification" else steps)
    y.square().sum().backward()
    missing = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert all("text" in n or n.startswith(("in_layer.cross", "time_proj")) for n in missing)


def test_more_channels_than_positions(model):
    with pytest.raises(UserError, match=r"33 channels.*32"):
        model(torch.randn(1, 16, 33))


def test_a_config_from_options():
    named = {"task_name": "imputation", "seq_len": 8, "pred_len": 0, "d_model": 24, "gpt_layers": 1}
    lora = {"r": 2, "lora_alpha": 4, "lora_dropout": 0.0, "word_embedding_path": "words.pt"}
    options = SimpleNamespace(**named, **lora, enc_in=7)
    config = CALFConfig.from_args(options)
    found = (config.task_name, config.r, config.llm, config.n_channels)
    assert found == ("imputation", 2, "gpt2", 7)
    assert CALFConfig.from_args(SimpleNamespace(**vars(options), n_channels=3)).n_channels == 3
    del options.seq_len, options.r
    with pytest.raises(UserError, match="configs lacks seq_len, r"):
        CALFConfig.from_args(options)


def test_the_textual_branch_refuses_merged_weights(model):
    """The branches share their frozen weights."""
    model.eval()
    model.gpt2.merge_adapter()
    with pytest.raises(UserError, match="unmerge_adapter"):
        model.branches(torch.randn(2, 16, 3), text_branch=True)


def test_scale_free_alignment(small_gpt2):
    """Neither the scale of principal words nor that of hidden states reaches the losses."""
    config = CALFConfig(**SIZES, llm=str(small_gpt2), scale_free=True)
    words, x = torch.randn(24, 9), torch.randn(2, 16, 3)

    def run(words: torch.Tensor) -> tuple[Model, CALFOutput]:
        torch.manual_seed(0)
        model = Model(config, word_embeddings=words).eval()
        return model, model.branches(x, text_branch=True)

    model, output = run(words)
    _, scaled = run(1000 * words)
    torch.testing.assert_close(scaled.outputs_text, output.outputs_text)
    torch.testing.assert_close(scaled.features_text, output.features_text)

    x_text = model.in_layer.textual_tokens(torch.randn(2, 3, 24))
    torch.testing.assert_close(x_text.square().mean(-1), torch.ones(2, 3))

    inputs = []
    for projection in (*model.time_proj, *model.text_proj):
        projection.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    model.branches(x, text_branch=True)
    for state in inputs:
        torch.testing.assert_close(state.square().mean(-1), torch.ones(2, 3), rtol=1e-3, atol=1e-3)


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
