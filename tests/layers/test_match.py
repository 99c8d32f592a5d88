"""The match module against PyTorch's own attention, fed the naive way."""

import torch

from layers.instance_norm import restore, standardise
from layers.match import CrossModalMatch


def test_textual_tokens_are_multi_head_attention_to_every_samples_words():
    torch.manual_seed(0)
    match = CrossModalMatch(10, torch.randn(24, 9), n_heads=4).eval()
    torch.nn.init.normal_(match.cross_attention.in_proj_bias)
    x_time = match.temporal_tokens(torch.randn(3, 5, 10))
    words = match.word_embedding.expand(3, -1, -1)
    expected, _ = match.cross_attention(x_time, words, words)
    torch.testing.assert_close(match.textual_tokens(x_time), expected, rtol=1e-5, atol=1e-6)


def test_temporal_tokens_are_pytorchs_encoder_layer():
    torch.manual_seed(0)
    match = CrossModalMatch(10, torch.randn(24, 9), n_heads=4).eval()
    torch.nn.init.normal_(match.transformer_encoder.layers[0].self_attn.in_proj_bias)
    x = torch.randn(3, 5, 10)
    expected = match.transformer_encoder(match.linear(x))
    torch.testing.assert_close(match.temporal_tokens(x), expected, rtol=1e-5, atol=1e-6)


def test_word_table_is_a_buffer_and_not_in_checkpoints():
    match = CrossModalMatch(10, torch.randn(24, 9), n_heads=4)
    assert dict(match.named_buffers())["word_embedding"].shape == (9, 24)
    assert "word_embedding" not in match.state_dict()


def test_standardise_and_restore():
    x = torch.randn(2, 30, 3) * 5 + 7
    z, mean, scale = standardise(x)
    torch.testing.assert_close(z.mean(1), torch.zeros(2, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(1, unbiased=False), torch.ones(2, 3), atol=1e-4, rtol=0)
    torch.testing.assert_close(restore(z, mean, scale), x, rtol=1e-5, atol=1e-5)


def test_standardise_with_a_mask():
    x = torch.tensor([[[1.0], [3.0], [0.0], [0.0]]])
    mask = torch.tensor([[[1.0], [1.0], [0.0], [0.0]]])
    z, mean, scale = standardise(x, mask)
    assert mean.item() == 1.0  # over all four entries, zeros included
    torch.testing.assert_close(scale.square().flatten(), torch.tensor([2 + 1e-5]))
    assert z[0, 2:].abs().max() == 0
    assert torch.isfinite(standardise(x * 0, mask * 0)[0]).all()
