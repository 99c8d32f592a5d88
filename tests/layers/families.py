"""Small models of the families that are tested, without dropout, with random norms and biases."""

import torch
from transformers import (
    AutoModel,
    BertConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    ModernBertConfig,
    OPTConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

WIDTH = 48
SIZES = {
    "vocab_size": 60, "hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 4,
    "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
GATED = {**SIZES, "intermediate_size": 64}
GROUPED = {**GATED, "num_key_value_heads": 2}  # fewer heads of keys and values
GEMMA = {**GROUPED, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 4}
NO_DROPOUT = {"attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0}
FAMILIES: dict[str, PreTrainedConfig] = {
    "gpt2": GPT2Config(**SIZES, n_positions=32, **NO_DROPOUT),
    "llama": LlamaConfig(**GROUPED),
    "mistral": MistralConfig(**GROUPED, sliding_window=4),
    "qwen2": Qwen2Config(**GROUPED),
    "qwen3": Qwen3Config(**GROUPED, head_dim=16),
    "gemma2": Gemma2Config(**GEMMA),
    "gemma3_text": Gemma3TextConfig(**GEMMA),
    "phi3": Phi3Config(**GROUPED),
    "opt": OPTConfig(
        **SIZES, word_embed_proj_dim=WIDTH, ffn_dim=64, max_position_embeddings=32, dropout=0.0
    ),
    "gpt_neox": GPTNeoXConfig(**GATED),
    "bert": BertConfig(
        **GATED, max_position_embeddings=32, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    "modernbert": ModernBertConfig(**GATED, local_attention=4, cls_token_id=0, sep_token_id=0),
}  # fmt: skip


def small_model(config: PreTrainedConfig, **more) -> PreTrainedModel:
    """Build a model with random weights, biases and norms away from 0 and 1 too."""
    torch.manual_seed(0)
    model = AutoModel.from_config(config, **more).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model
