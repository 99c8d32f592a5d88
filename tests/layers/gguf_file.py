"""A small Llama as a `.gguf` file, as llama.cpp writes it."""

from pathlib import Path

import gguf
from torch import Tensor
from transformers import LlamaModel

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of queries and keys in llama.cpp's order, whose rotary positions pair neighbours."""
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).flatten(0, 2)


def write_gguf(model: LlamaModel, path: Path) -> None:
    config, state = model.config, model.state_dict()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    tensors = {"token_embd": state["embed_tokens.weight"], "output_norm": state["norm.weight"]}
    for i in range(config.num_hidden_layers):
        for theirs, name in NAMES.items():
            weight = state[f"layers.{i}.{theirs}.weight"]
            if name in ("attn_q", "attn_k"):
                is_query = name == "attn_q"
                heads = config.num_attention_heads if is_query else config.num_key_value_heads
                weight = interleaved(weight, heads)
            tensors[f"blk.{i}.{name}"] = weight
    for name, tensor in tensors.items():
        writer.add_tensor(f"{name}.weight", tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
