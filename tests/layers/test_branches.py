"""The branches of each family against the library's own forward: what is trained, shared, kept."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModel, BloomConfig, MambaConfig, PreTrainedModel

from layers.backbone import load_backbone, load_config, most_tokens, with_depth
from layers.branches import (
    ABLATIONS,
    REPLACED,
    adapter_is_merged,
    blocks_used,
    build_blocks,
    build_branches,
    hidden_states,
    recompute_blocks,
)
from models.CALF import CALFConfig, Model
from tests.layers.families import FAMILIES, WIDTH, small_model
from utils.errors import UserError

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
# the norms of the first block, the other modules that the temporal branch trains, and how many
# projections of a block have LoRA
PRE_NORM = "input_layernorm post_attention_layernorm"
OF_QUERIES = " self_attn.q_norm self_attn.k_norm"
GEMMA = f"{PRE_NORM} pre_feedforward_layernorm post_feedforward_layernorm"
TRAINED = {
    "gpt2": ("ln_1 ln_2", "ln_f wpe", 1),
    "llama": (PRE_NORM, "norm", 3),
    "mistral": (PRE_NORM, "norm", 3),
    "qwen2": (PRE_NORM, "norm", 3),
    "qwen3": (PRE_NORM + OF_QUERIES, "norm", 3),
    "gemma2": (GEMMA, "norm", 3),
    "gemma3_text": (GEMMA + OF_QUERIES, "norm", 3),
    "phi3": (PRE_NORM, "norm", 1),
    "opt": (
        "self_attn_layer_norm final_layer_norm", "decoder.final_layer_norm decoder.embed_positions",
        3,
    ),
    "gpt_neox": (PRE_NORM, "final_layer_norm", 1),
    "bert": (
        "attention.output.LayerNorm output.LayerNorm",
        "embeddings.LayerNorm embeddings.position_embeddings", 3,
    ),
    "modernbert": ("mlp_norm", "embeddings.norm final_norm", 1),
}  # fmt: skip
POSITIONS = {
    "gpt2": {"wpe.weight"},
    "opt": {"decoder.embed_positions.weight"},
    "bert": {"embeddings.position_embeddings.weight"},
}


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(2, 9, WIDTH, generator=torch.Generator().manual_seed(4))


def theirs(folder: Path, n_layer: int) -> PreTrainedModel:
    """The library's own model, with its first blocks."""
    model = AutoModel.from_pretrained(folder).eval()
    return AutoModel.from_pretrained(folder, config=with_depth(model.config, n_layer)).eval()


def calf(folder: Path, **more) -> Model:
    torch.manual_seed(0)
    sizes = {"seq_len": 16, "pred_len": 5, "d_model": WIDTH, "gpt_layers": 2}
    config = CALFConfig(**{**sizes, "llm": str(folder), "word_embedding_path": "none", **more})
    return Model(config)


def trained(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("n_layer", [1, 2])
def test_hidden_states_are_the_librarys(prepare, folders, family, x, n_layer):
    expected = theirs(folders[family], n_layer)(inputs_embeds=x, output_hidden_states=True)
    model = load_backbone(str(folders[family]), n_layer=n_layer)
    temporal, textual = build_branches(build_blocks(model, model.config), 4, 8, 0.0)
    prepare(nn.ModuleList([temporal, textual]))
    for branch in (temporal, textual):  # new LoRA changes nothing
        output, hidden = hidden_states(branch.eval(), x, True)
        assert hidden[-1] is output
        for ours, state in zip(hidden, expected.hidden_states, strict=True):
            torch.testing.assert_close(ours, state, **CLOSE)
        with torch.no_grad():
            again, none = hidden_states(branch, x, False)
        torch.testing.assert_close(again, expected.last_hidden_state, **CLOSE)
        assert none == []


def test_what_is_trained(folders, family):
    norms, others, projections = TRAINED[family]
    model = calf(folders[family])
    names = trained(model.gpt2)
    lora = {name for name in names if "lora_" in name}
    assert len(lora) == 2 * 2 * projections  # A and B, in two blocks
    modules = {name.removeprefix("base_model.model.").rpartition(".")[0] for name in names - lora}
    inside = next(n for n, m in model.gpt2_text.named_modules() if isinstance(m, nn.ModuleList))
    blocks = {f"{inside}.{i}.{norm}" for i in (0, 1) for norm in norms.split()}
    # the first block of ModernBERT has no norm before its attention
    blocks |= {f"{inside}.1.attn_norm"} if family == "modernbert" else set()
    assert modules == blocks | set(others.split())
    assert trained(model.gpt2_text) == POSITIONS.get(family, set())
    assert most_tokens(model.gpt2_text) == (32 if family in POSITIONS else float("inf"))


def test_only_the_blocks_are_in_memory_and_once(folders, family):
    model = calf(folders[family], words="none")
    whole = theirs(folders[family], 2)
    one_branch = sum(p.numel() for p in whole.parameters())
    one_branch -= whole.get_input_embeddings().weight.numel()
    one_branch -= sum(p.numel() for n, p in whole.named_parameters() if n.startswith("pooler"))
    both = {id(p): p for branch in (model.gpt2, model.gpt2_text) for p in branch.parameters()}
    lora = sum(p.numel() for name, p in model.gpt2.named_parameters() if "lora_" in name)
    own = sum(p.numel() for name, p in model.gpt2.named_parameters() if p.requires_grad) - lora
    assert sum(p.numel() for p in both.values()) == one_branch + own + lora


@pytest.mark.parametrize("llm_ablation", REPLACED)
def test_ablations(prepare, folders, family, x, llm_ablation):
    """One layer of the same architecture, freshly drawn, and all of it is trained."""
    folder = str(folders[family])
    config, state = load_config(folder), torch.get_rng_state()
    models = [
        build_blocks(load_backbone(folder, n_layer=blocks_used(2, llm_ablation)), config,
                     llm_ablation, seed)
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    outputs = [hidden_states(model.eval(), x, True) for model in models]
    assert {len(hidden) for _, hidden in outputs} == {1 if llm_ablation == "identity" else 2}
    (one, _), (same, _), (other, _) = outputs
    assert torch.equal(one, same)
    assert torch.equal(one, other) == (llm_ablation == "identity")
    if llm_ablation != "identity":
        before = outputs[0][1][0]  # what enters the block is the pre-trained model's
        given = theirs(folders[family], 1)(inputs_embeds=x, output_hidden_states=True)
        torch.testing.assert_close(before, given.hidden_states[0], **CLOSE)

    temporal, textual = build_branches(models[0], 4, 8, 0.1, llm_ablation)
    ours, copies = dict(temporal.named_parameters()), dict(textual.named_parameters())
    assert ours.keys() == copies.keys()
    assert not [name for name in ours if "lora" in name]
    for name, parameter in ours.items():
        assert parameter.requires_grad
        assert copies[name].requires_grad
        assert copies[name] is not parameter
    prepare(nn.ModuleList([temporal, nn.Linear(1, 1)]))
    torch.testing.assert_close(hidden_states(temporal, x, False)[0], one, **CLOSE)
    (hidden_states(temporal, x, False)[0] * torch.randn_like(x)).sum().backward()
    assert not [name for name, p in ours.items() if p.grad is None]


@pytest.mark.parametrize("llm_ablation", ["attention", "transformer"])
def test_one_layer_of_gpt2(folders, x, llm_ablation):
    """By the library's own block."""
    folder = str(folders["gpt2"])
    model = build_blocks(load_backbone(folder, n_layer=1), load_config(folder), llm_ablation, 5)
    whole = theirs(folders["gpt2"], 1)
    whole.h[0].load_state_dict(model.h[0].state_dict(), strict=False)
    expected = whole(inputs_embeds=x).last_hidden_state
    if llm_ablation == "attention":
        block, state = whole.h[0], x + whole.wpe.weight[:9]
        expected = whole.ln_f(state + block.attn(block.ln_1(state))[0])
    torch.testing.assert_close(model(inputs_embeds=x).last_hidden_state, expected, **CLOSE)
    names = {name for name, _ in model.h[0].named_parameters()}
    assert ("ln_2.weight" in names) == (llm_ablation == "transformer")


def test_merged_weights_are_those_of_the_textual_branch_too(prepare, folders, family, x):
    model = load_backbone(str(folders[family]), n_layer=2)
    temporal, textual = build_branches(build_blocks(model, model.config), 4, 16, 0.0)
    for name, parameter in temporal.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    prepare(nn.ModuleList([temporal, textual]))
    before, adapted = hidden_states(textual, x, False)[0], hidden_states(temporal, x, False)[0]
    assert not adapter_is_merged(temporal)
    temporal.merge_adapter()
    assert adapter_is_merged(temporal)
    torch.testing.assert_close(hidden_states(temporal, x, False)[0], adapted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(hidden_states(textual, x, False)[0], before, atol=1e-2)
    temporal.unmerge_adapter()
    torch.testing.assert_close(hidden_states(textual, x, False)[0], before, rtol=1e-4, atol=1e-4)


def test_frozen_norms(folders, family):
    """Of the branches LoRA and learned positions are trained; nothing else changes."""
    usual, frozen = calf(folders[family]), calf(folders[family], llm_ablation="frozen_norms")
    norms = {name for name, m in usual.gpt2.named_modules() if "Norm" in type(m).__name__}
    left = {name for name in trained(usual.gpt2) if name.rpartition(".")[0] not in norms}
    assert trained(frozen.gpt2) == left < trained(usual.gpt2)
    assert trained(frozen.gpt2_text) == trained(usual.gpt2_text)
    assert_same(frozen, usual, usual.state_dict())


def test_without_lora(folders, family):
    """`--r 0` is LoRA whose B is zero, and trains the same norms and positions."""
    with_lora, without = calf(folders[family]), calf(folders[family], r=0)
    assert isinstance(without.gpt2, PreTrainedModel)
    names = {n.removeprefix("base_model.model.") for n in trained(with_lora.gpt2)}
    assert trained(without.gpt2) == {name for name in names if "lora_" not in name}
    state = {
        name.replace("base_model.model.", "").replace("base_layer.", ""): value
        for name, value in with_lora.state_dict().items()
        if "lora_" not in name
    }
    assert_same(without, with_lora, state)


def assert_same(model: Model, other: Model, state: dict[str, torch.Tensor]) -> None:
    """With this state a model computes what another one does."""
    model.load_state_dict(state)
    x = torch.randn(2, 16, 3)
    ours, theirs = (m.eval().branches(x, text_branch=True) for m in (model, other))
    torch.testing.assert_close(ours.outputs_time, theirs.outputs_time, **CLOSE)
    torch.testing.assert_close(ours.outputs_text, theirs.outputs_text, **CLOSE)


def test_recomputed_blocks(prepare):
    """What is dropped is dropped again."""
    config = deepcopy(FAMILIES["gpt2"])
    config.update({"resid_pdrop": 0.3, "attn_pdrop": 0.3})
    model = prepare(small_model(config)).train()
    x = torch.randn(2, 7, WIDTH, requires_grad=True)
    found = []
    for enabled in (False, True):
        recompute_blocks(model, enabled)
        torch.manual_seed(0)
        output, hidden = hidden_states(model, x, True)
        loss = output.square().mean() + sum(state.abs().mean() for state in hidden)
        found.append(torch.autograd.grad(loss, [x, model.wpe.weight, model.h[0].ln_1.weight]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["attn_pdrop", "resid_pdrop", "embd_pdrop"])
def test_dropout_is_gpt2s(prepare, x, name):
    config = deepcopy(FAMILIES["gpt2"])
    config.update({name: 0.5})
    model = prepare(small_model(config))
    for training in (True, False):
        one, other = (hidden_states(model.train(training), x, False)[0] for _ in range(2))
        assert torch.equal(one, other) != training


def test_what_can_not_be_done():
    sizes = {"vocab_size": 60, "hidden_size": WIDTH, "num_hidden_layers": 2}
    mamba = small_model(MambaConfig(**sizes))
    with pytest.raises(UserError, match=r"mamba model has no projections .* --r 0"):
        build_branches(deepcopy(mamba), 4, 8, 0.1)
    assert build_branches(mamba, 0, 8, 0.1)[0] is mamba
    bloom = small_model(BloomConfig(vocab_size=60, hidden_size=WIDTH, n_layer=1, n_head=4))
    with pytest.raises(UserError, match=r"--llm_ablation attention: .* bloom model"):
        build_blocks(bloom, bloom.config, "attention")
    with pytest.raises(UserError, match="--llm_ablation bert: use one of none, random, frozen"):
        blocks_used(1, "bert")
    assert {blocks_used(5, name) for name in ABLATIONS} == {5, 1}
