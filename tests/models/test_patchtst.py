"""PatchTST against that of transformers, with the same weights."""

import pytest
import torch
from transformers import PatchTSTConfig, PatchTSTForPrediction

from layers.instance_norm import denormalise, standardise
from models.PatchTST import Model
from tests.models.configs import small
from utils.errors import UserError

LAYER = {
    "attention.out_proj": "self_attn.out_proj",
    "feed_forward.0": "ff.0",
    "feed_forward.3": "ff.3",
    "norm1": "norm_sublayer1.batchnorm",
    "norm2": "norm_sublayer3.batchnorm",
}


def pair(**changed) -> tuple[Model, PatchTSTForPrediction]:
    """Our model, and that of transformers with its weights; its context is the padded series."""
    torch.manual_seed(0)
    options = small(**changed)
    theirs = PatchTSTForPrediction(
        PatchTSTConfig(
            num_input_channels=3, context_length=options.seq_len + options.stride,
            prediction_length=options.pred_len, patch_length=options.patch_len,
            patch_stride=options.stride, d_model=options.d_model, ffn_dim=options.d_ff,
            num_attention_heads=options.n_heads, num_hidden_layers=options.e_layers,
            activation_function=options.activation, norm_type="batchnorm", pre_norm=False,
            positional_encoding_type="random", scaling=None, loss="mse", share_embedding=True,
            share_projection=True, channel_attention=False, pooling_type=None, use_cls_token=False,
            attention_dropout=0.0, positional_dropout=0.0, path_dropout=0.0, ff_dropout=0.0,
            head_dropout=0.0, do_mask_input=False, attn_implementation="eager",
        )
    )  # fmt: skip
    for tensor in (*theirs.parameters(), *theirs.buffers()):
        if tensor.is_floating_point():
            torch.nn.init.uniform_(tensor, 0.2, 0.6)
            tensor.data *= torch.randn(tensor.shape).sign() if tensor.dim() > 1 else 1
    source = theirs.state_dict()
    state = {"position": source["model.encoder.positional_encoder.position_enc"]}
    for kind in ("weight", "bias"):
        state[f"embedding.{kind}"] = source[f"model.encoder.embedder.input_embedding.{kind}"]
        state[f"head.{kind}"] = source[f"head.projection.{kind}"]
    for i in range(options.e_layers):
        there, here = f"model.encoder.layers.{i}.", f"encoder.{i}."
        for ours, other in LAYER.items():
            for key, value in source.items():
                if key.startswith(there + other + "."):
                    state[f"{here}{ours}.{key.rpartition('.')[2]}"] = value
        for kind in ("weight", "bias"):
            state[f"{here}attention.in_proj_{kind}"] = torch.cat(
                [source[f"{there}self_attn.{p}_proj.{kind}"] for p in "qkv"]
            )
    model = Model(options)
    model.load_state_dict(state)
    return model.double(), theirs.double()


def context(x: torch.Tensor, stride: int) -> torch.Tensor:
    """The standardised series, its last value repeated."""
    return torch.cat([x, x[:, -1:].repeat(1, stride, 1)], dim=1)


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_forecast(mode, activation):
    """In training, batch normalisation takes the statistics of the batch."""
    model, theirs = pair(activation=activation)
    model.train(mode == "train")
    theirs.train(mode == "train")
    raw = torch.randn(6, 24, 3).double() * 4 + 3
    x, mean, scale = standardise(raw)
    with torch.set_grad_enabled(mode == "train"):
        expected = theirs(context(x, 4)).prediction_outputs
        y = model(raw)
    expected = denormalise(expected, mean, scale)
    torch.testing.assert_close(y, expected)
    ours, other = model.encoder[1].norm2, theirs.model.encoder.layers[1].norm_sublayer3.batchnorm
    torch.testing.assert_close(ours.running_var, other.running_var)


def test_classification():
    torch.manual_seed(0)
    model = Model(small(task_name="classification"))
    x = torch.randn(6, 24, 3) + 5
    model.eval()
    features = model.encode(standardise(x)[0]).reshape(6, -1)
    expected = features @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(model(x, torch.ones(6, 24)), expected)


def test_patches_of_the_padded_series():
    """The longest patch has the whole padded look-back."""
    assert Model(small(patch_len=28)).position.shape == (1, 8)
    assert Model(small(patch_len=27)).position.shape == (1, 8)
    with pytest.raises(UserError, match=r"--patch_len 29 .*--seq_len 24 .*--stride 4"):
        Model(small(patch_len=29))
    model = Model(small(patch_len=7, stride=5))  # these do not reach the end of the padding
    assert model.position.shape == ((24 + 5 - 7) // 5 + 1, 8)
    assert model(torch.randn(2, 24, 3)).shape == (2, 10, 3)
