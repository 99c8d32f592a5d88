"""The two branches: blocks of a language model that run on tokens of time series.

They are modules of Transformers under their own names (GPT-2: `wpe`, `h.0.attn.c_attn`, `ln_f`, …),
so that weights, and checkpoints of the authors' code, load by name.
"""

from copy import deepcopy

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from layers.backbone import (
    blocks_of,
    keep_blocks,
    positions_of,
    quiet_transformers,
    random_backbone,
    with_depth,
)
from utils.errors import UserError

# ablations that replace the blocks of the language model, described
REPLACED = {
    "attention": "one attention layer in place of its blocks",
    "transformer": "one new transformer block in place of its blocks",
    "identity": "without its blocks",
}
FROZEN_NORMS = "frozen_norms"
ABLATIONS = ("none", "random", FROZEN_NORMS, *REPLACED)
# names of the projections of queries, keys and values in families of language models
PROJECTIONS = (
    *("c_attn", "q_proj", "k_proj", "v_proj", "query_key_value", "qkv_proj"),
    *("query", "key", "value", "Wqkv", "q_lin", "k_lin", "v_lin"),
)


def hidden_states(model: nn.Module, x: Tensor, all_states: bool) -> tuple[Tensor, list[Tensor]]:
    """Run a language model on tokens `[batch, tokens, d_model]` in place of word embeddings.

    Returns:
        The output after the final norm, and, if `all_states`, one hidden state more than there are
        blocks: what enters the first block, what leaves every block but the last, and the output
        itself (else an empty list).
    """
    found = model(inputs_embeds=x, output_hidden_states=all_states)
    output = found.last_hidden_state
    return output, [*found.hidden_states[:-1], output] if all_states else []


def recompute_blocks(model: nn.Module, enabled: bool) -> None:
    """Store only the inputs of the blocks for the backward pass, and compute the blocks again."""
    if enabled:
        model.activation_checkpointing_enable()
    elif model.is_activation_checkpointing:
        model.activation_checkpointing_disable()


def blocks_used(gpt_layers: int, llm_ablation: str) -> int:
    """Return how many blocks `build_blocks` needs of a language model; a `UserError` if there is no
    such ablation."""
    if llm_ablation not in ABLATIONS:
        raise UserError(f"--llm_ablation {llm_ablation}: use one of {', '.join(ABLATIONS)}")
    return 1 if llm_ablation in REPLACED else gpt_layers


def build_blocks(
    backbone: PreTrainedModel, config: PreTrainedConfig, llm_ablation: str = "none", seed: int = 0
) -> PreTrainedModel:
    """Apply an ablation to a language model, and remove its word embeddings.

    Args:
        backbone: the first blocks of a language model, as many as `blocks_used`; it is changed.
        config: of the whole language model.
        llm_ablation: "none"; "frozen_norms", which changes what is trained alone; "random": every
            weight is initialised afresh; or what takes the place of the blocks: "transformer", one
            block, freshly initialised; "attention", the attention of one, likewise; "identity",
            nothing. Positions, dropout and the final norm stay.
        seed: of fresh weights, which are initialised as the family initialises its own.

    Source: Tan et al., "Are Language Models Actually Useful for Time Series Forecasting?"
    (NeurIPS 2024).
    """
    if llm_ablation == "random":
        backbone = random_backbone(config, seed, len(blocks_of(backbone)))
    elif llm_ablation == "identity":
        keep_blocks(backbone, 0)
    elif llm_ablation in REPLACED:
        blocks_of(backbone)[0].load_state_dict(_fresh_block(config, seed).state_dict())
        if llm_ablation == "attention":
            _keep_attention(backbone)
    backbone.set_input_embeddings(None)
    return backbone


def describe_blocks(n_layer: int, llm_ablation: str, seed: int) -> str:
    """Describe the blocks that `build_blocks` leaves."""
    blocks = f"{n_layer} block" + ("s" if n_layer != 1 else "")
    blocks += ", norms frozen" if llm_ablation == FROZEN_NORMS else ""
    if llm_ablation == "random":
        return f"{blocks}, all but the token table initialised afresh (seed {seed})"
    return REPLACED.get(llm_ablation, blocks)


def build_branches(
    model: PreTrainedModel, r: int, lora_alpha: int, lora_dropout: float, llm_ablation: str = "none"
) -> tuple[PeftModel | PreTrainedModel, PreTrainedModel]:
    """Make the temporal and the textual branch of one language model (`docs/method.md`, section 3).

    Trained in the temporal branch: LoRA on the projections that make queries, keys and values,
    norms, and learned positions. In the textual one: learned positions. Frozen weights are in the
    same modules of both.

    Args:
        model: blocks, as `build_blocks` leaves them; it becomes the temporal branch.
        r, lora_alpha, lora_dropout: LoRA; no adapters with `r` 0.
        llm_ablation: as given to `build_blocks`. With a replacement of the blocks, all weights of
            both branches are trained, which share none, without adapters.

    Returns:
        `(temporal, textual)`; a `UserError` if there are no projections to adapt.
    """
    if llm_ablation in REPLACED:
        model.requires_grad_(True)
        return model, deepcopy(model)
    trained = {id(module) for module in trained_modules(model, llm_ablation)}
    frozen = {
        id(module): module
        for module in model.modules()
        if id(module) not in trained and next(module.children(), None) is None
        and next(module.parameters(), None) is not None
    }  # fmt: skip
    textual = deepcopy(model, memo=frozen)
    textual.requires_grad_(False)
    for module in positions_of(textual):
        module.requires_grad_(True)
    train_parts(model, llm_ablation)
    return _with_lora(model, r, lora_alpha, lora_dropout) if r else model, textual


def train_parts(model: nn.Module, llm_ablation: str) -> None:
    """Freeze all of a language model but the parts that are trained, all of them if the ablation
    replaced its blocks."""
    model.requires_grad_(llm_ablation in REPLACED)
    for module in trained_modules(model, llm_ablation):
        module.requires_grad_(True)


def trained_modules(model: nn.Module, llm_ablation: str) -> list[nn.Module]:
    """Return the norms, unless they are frozen, and learned positions."""
    norms = [] if llm_ablation == FROZEN_NORMS else norms_of(model)
    return [*norms, *positions_of(model)]


def norms_of(model: nn.Module) -> list[nn.Module]:
    """Return the normalisation layers: `LayerNorm`, and what families name after RMS."""
    return [module for module in model.modules() if "Norm" in type(module).__name__]


def projections_of(model: nn.Module) -> list[str]:
    """Return the names of the projections that make queries, keys and values."""
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and name.rpartition(".")[2] in PROJECTIONS
    ]


def adapter_is_merged(temporal: nn.Module) -> bool:
    """Return whether an adapter is merged into the weights that both branches share."""
    return any(isinstance(m, BaseTunerLayer) and m.merged for m in temporal.modules())


def merge_adapter(temporal: nn.Module) -> nn.Module:
    """Add LoRA to the weights that it adapts, which the textual branch shares, and return the
    language model without it."""
    return temporal.merge_and_unload() if isinstance(temporal, PeftModel) else temporal


def _with_lora(model: PreTrainedModel, r: int, lora_alpha: int, lora_dropout: float) -> PeftModel:
    """Add LoRA to the projections of queries, keys and values."""
    targets = projections_of(model)
    if not targets:
        kind = f"a {model.config.model_type} model"
        raise UserError(f"{kind} has no projections for LoRA: --r 0 trains it without")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    lora = LoraConfig(
        r=r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        target_modules=targets,
        # GPT-2 stores its projections as [in, out]
        fan_in_fan_out=isinstance(model.get_submodule(targets[0]), Conv1D),
    )
    with quiet_transformers():
        adapted = get_peft_model(model, lora)
    for parameter in trained:  # peft freezes all but its own
        parameter.requires_grad_(True)
    return adapted


def _fresh_block(config: PreTrainedConfig, seed: int) -> nn.Module:
    """Draw one block, as the only one of a language model."""
    config = with_depth(config, 1)
    config.update({"vocab_size": 1, "pad_token_id": None})
    if config.model_type == "gpt2":
        config.max_position_embeddings = 1
    return blocks_of(random_backbone(config, seed, 1))[0]


class _Zeros(nn.Module):
    """In place of a feed-forward part: what the residual connection adds is 0."""

    def forward(self, x: Tensor, *_: Tensor) -> Tensor:
        return torch.zeros_like(x)


def _keep_attention(model: PreTrainedModel) -> None:
    """Remove the feed-forward part of the only block, and norms that nothing depends on then."""
    (block,) = blocks_of(model)
    attention = [block.get_submodule(name) for name in projections_of(block)]
    _remove_feed_forward(block)
    block.requires_grad_(True)
    training = model.training
    if attention:
        x = torch.ones(1, 2, model.config.hidden_size)
        model.eval()(inputs_embeds=x).last_hidden_state.sum().backward()
    if not attention or any(module.weight.grad is None for module in attention):
        kind = f"a {model.config.model_type} model"
        raise UserError(f"--llm_ablation attention: {kind} can't be reduced to its attention")
    model.train(training)
    for name, norm in list(block.named_modules()):
        if norm in norms_of(block) and all(p.grad is None for p in norm.parameters()):
            parent, _, child = name.rpartition(".")
            setattr(block.get_submodule(parent), child, nn.Identity())
    model.zero_grad()


def _remove_feed_forward(module: nn.Module) -> None:
    """Replace all projections that are not part of the attention."""
    for name, child in list(module.named_children()):
        kinds = [type(part) for part in child.modules()]
        if projections_of(child) or not any(issubclass(kind, nn.Linear | Conv1D) for kind in kinds):
            continue
        if norms_of(child):
            _remove_feed_forward(child)
        else:
            setattr(module, name, _Zeros())
