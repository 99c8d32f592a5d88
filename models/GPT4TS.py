"""GPT4TS: a frozen language model on patches of each channel (arXiv 2302.11939, Figure 1)."""

from einops import rearrange
from torch import Tensor, nn

from layers.backbone import describe_backbone, load_backbone, load_config, most_tokens
from layers.branches import (
    blocks_used,
    build_blocks,
    describe_blocks,
    hidden_states,
    recompute_blocks,
    train_parts,
)
from layers.instance_norm import denormalise, standardise
from layers.patching import patch_count, patches
from models.checks import check_task
from utils.errors import UserError
from utils.tasks import FORECASTING


class Model(nn.Module):
    """The first blocks of a language model, whose tokens are patches of one channel.

    Norms, learned positions, the embedding of patches and the head are trained; the rest is
    frozen. Where `llm_ablation` replaces the blocks, nothing is frozen.

    Args:
        configs: task_name, seq_len, pred_len, patch_len, stride, d_model, gpt_layers, llm,
            llm_weights, llm_ablation, seed; enc_in and num_class for classification.

    Attributes:
        backbone: which language model this is, and what of it is used, as text.

    Raises:
        UserError: a patch is longer than the padded window, the backbone has too few positions, or
            another width or depth.

    Source: Zhou et al., "One Fits All: Power General Time Series Analysis by Pretrained LM"
    (NeurIPS 2023).
    """

    def __init__(self, configs: object):
        super().__init__()
        check_task("GPT4TS", configs.task_name)
        self.task_name = configs.task_name
        self.patch_len, self.stride = configs.patch_len, configs.stride
        n_patches = patch_count(configs.seq_len, configs.patch_len, configs.stride)
        n_layer = blocks_used(configs.gpt_layers, configs.llm_ablation)
        backbone = load_backbone(
            configs.llm, configs.llm_weights, configs.seed, n_layer, configs.d_model
        )
        if n_patches > most_tokens(backbone):
            has = f"{configs.llm} has positions for {most_tokens(backbone)}"
            raise UserError(f"{n_patches} patches, but {has}: choose a larger --stride")
        self.backbone = describe_backbone(configs.llm, configs.llm_weights, configs.seed)
        self.backbone += f", {describe_blocks(n_layer, configs.llm_ablation, configs.seed)}"
        self.tokens_per_window = configs.enc_in * n_patches

        self.in_layer = nn.Linear(configs.patch_len, configs.d_model)
        whole = load_config(configs.llm)
        self.gpt2 = build_blocks(backbone, whole, configs.llm_ablation, configs.seed)
        train_parts(self.gpt2, configs.llm_ablation)
        width = configs.d_model * n_patches
        if configs.task_name == "classification":
            self.out_layer = nn.Linear(width * configs.enc_in, configs.num_class)
        else:
            forecasting = configs.task_name in FORECASTING
            self.out_layer = nn.Linear(width, configs.pred_len if forecasting else configs.seq_len)

    def forward(
        self, x_enc: Tensor, x_mark_enc=None, x_dec=None, x_mark_dec=None, mask=None
    ) -> Tensor:
        """Predict `[batch, steps, channels]`, or logits `[batch, num_class]`, from windows `x_enc`
        `[batch, seq_len, channels]`; for imputation, `mask`, of that shape, is 1 where `x_enc` is
        observed and 0 where it is masked and 0. Marks and `x_dec` are not used."""
        if self.task_name == "classification":
            y = self._encode(x_enc)
            return self.out_layer(rearrange(y, "b c n d -> b (c n d)"))
        x, mean, scale = standardise(x_enc, mask)
        y = self.out_layer(rearrange(self._encode(x), "b c n d -> b c (n d)"))
        return denormalise(rearrange(y, "b c p -> b p c"), mean, scale)

    def _encode(self, x: Tensor) -> Tensor:
        """Run the language model on patches: `[batch, channels, patches, d_model]`."""
        tokens = self.in_layer(patches(x, self.patch_len, self.stride))
        y, _ = hidden_states(self.gpt2, rearrange(tokens, "b c n d -> (b c) n d"), False)
        return rearrange(y, "(b c) n d -> b c n d", c=x.shape[2])

    def grad_checkpoint(self, enabled: bool) -> None:
        """Store only the inputs of the blocks; recompute the blocks in the backward pass."""
        recompute_blocks(self.gpt2, enabled)
