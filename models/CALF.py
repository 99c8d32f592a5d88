"""CALF: cross-modal fine-tuning of a language model (arXiv 2403.07300, Figure 2)."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from transformers import PreTrainedModel

from layers.backbone import (
    blocks_of,
    describe_backbone,
    keep_blocks,
    load_backbone,
    load_config,
    most_tokens,
)
from layers.branches import (
    adapter_is_merged,
    blocks_used,
    build_blocks,
    build_branches,
    describe_blocks,
    hidden_states,
    merge_adapter,
    recompute_blocks,
)
from layers.instance_norm import denormalise, standardise
from layers.match import CrossModalMatch, unit_rms
from pca import principal_word_embeddings
from utils.errors import UserError
from utils.tasks import FORECASTING
from utils.word_embeddings import (
    DEFAULT_PATH,
    NO_FILE,
    RANDOM,
    describe_file,
    first_components,
    load_word_embeddings,
    random_directions,
)

WORDS = ("pca", "random", "none")
N_CHANNELS = "enc_in"  # what Time-Series-Library calls them; in this project the data count


@dataclass(frozen=True)
class CALFConfig:
    """Configuration of a CALF model; the names are those of the command line, whose help explains
    them.

    Attributes:
        task_name: determines the head: P steps for forecasting, L steps for reconstruction
            (imputation, anomaly detection), logits for classification.
        seq_len: look-back L. pred_len: horizon P.
        llm, llm_weights, seed: see `layers.backbone.load_backbone`.
        llm_ablation: what is left of it, see `layers.branches.build_blocks`.
        n_components: principal components used; 0 uses all of the file, or computes 500 or, if
            that is less, as many as the backbone is wide.
        n_channels, num_class: channels M and classes, for classification only.
        match_heads: heads of the match module; the backbone's number of heads is used if these
            do not divide its width.
    """

    task_name: str = "long_term_forecast"
    seq_len: int = 96
    pred_len: int = 96
    d_model: int = 768
    gpt_layers: int = 6
    r: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    word_embedding_path: str = DEFAULT_PATH
    llm: str = "gpt2"
    llm_weights: str = "pretrained"
    seed: int = 2021
    n_channels: int = 0
    num_class: int = 0
    match_heads: int = 12
    llm_ablation: str = "none"
    words: str = "pca"
    n_components: int = 0
    scale_free: bool = False
    past_covariates: Sequence[str] | None = None
    future_covariates: Sequence[str] | None = None

    # the other fields are of this implementation alone: configs of the published code lack them
    PUBLISHED = (
        *("task_name", "seq_len", "pred_len", "d_model", "gpt_layers"),
        *("r", "lora_alpha", "lora_dropout", "word_embedding_path"),
    )

    @classmethod
    def from_args(cls, configs: object) -> "CALFConfig":
        """Read the fields from the attributes of any object, such as parsed arguments, `n_channels`
        also as `enc_in`. A `UserError` if a field of the published command line is missing."""
        known = {f.name: getattr(configs, f.name, MISSING) for f in fields(cls)}
        if known["n_channels"] is MISSING:
            known["n_channels"] = getattr(configs, N_CHANNELS, MISSING)
        missing = [name for name in cls.PUBLISHED if known[name] is MISSING]
        if missing:
            raise UserError(f"CALF: configs lacks {', '.join(missing)}")
        return cls(**{name: value for name, value in known.items() if value is not MISSING})


@dataclass
class CALFOutput:
    """What both branches return.

    Attributes:
        outputs_time: prediction of the temporal branch, `[batch, steps, channels]` or
            `[batch, classes]`.
        outputs_text: the same of the textual branch; None if it did not run.
        features_time, features_text: projected hidden states i = 0..N, each
            `[batch, channels, d_model]`; None if not requested.
    """

    outputs_time: Tensor
    outputs_text: Tensor | None = None
    features_time: tuple[Tensor, ...] | None = None
    features_text: tuple[Tensor, ...] | None = None


class Model(nn.Module):
    """The two-branch model: match module, temporal and textual branch, projections, shared head.

    Args:
        configs: a `CALFConfig`, or an object with attributes of the same names.
        backbone: the language model to take over; by default what `configs` names is loaded.
        word_embeddings: principal word embeddings `[d_model, components]`; by default those of
            `word_embedding_path`. `words` and `n_components` apply to them.
        word_table: the table that was used in training, `[components, d_model]`, as checkpoints
            have it; nothing is loaded or drawn then.

    Attributes:
        backbone: which language model this is. blocks: what of it the branches use.
        word_embeddings_source: where those come from.

    Raises:
        UserError: width, depth or files do not match the backbone, or a name is unknown.
    """

    def __init__(
        self,
        configs: object,
        backbone: PreTrainedModel | None = None,
        word_embeddings: Tensor | None = None,
        word_table: Tensor | None = None,
    ):
        super().__init__()
        is_config = isinstance(configs, CALFConfig)
        self.config = config = configs if is_config else CALFConfig.from_args(configs)
        self.backbone = describe_backbone(config.llm, config.llm_weights, config.seed)
        n_layer, d_model = blocks_used(config.gpt_layers, config.llm_ablation), config.d_model
        llm_config = load_config(config.llm) if backbone is None else deepcopy(backbone.config)
        if backbone is None:
            backbone = load_backbone(config.llm, config.llm_weights, config.seed, n_layer, d_model)
        else:
            keep_blocks(backbone, n_layer)
        self.blocks = describe_blocks(n_layer, config.llm_ablation, config.seed)
        if word_table is not None:
            self.word_embeddings_source, word_embeddings = "the checkpoint", word_table.T
        else:
            word_embeddings = self._choose_word_embeddings(backbone, word_embeddings)
        divides = d_model % config.match_heads == 0
        n_heads = config.match_heads if divides else llm_config.num_attention_heads
        self.n_covariates = len(config.past_covariates or ()) + len(config.future_covariates or ())
        self.in_layer = CrossModalMatch(
            config.seq_len, word_embeddings, n_heads, scale_free=config.scale_free,
            steps_ahead=config.seq_len + config.pred_len if config.future_covariates else 0,
        )  # fmt: skip
        blocks = build_blocks(backbone, llm_config, config.llm_ablation, config.seed)
        self.gpt2, self.gpt2_text = build_branches(
            blocks, config.r, config.lora_alpha, config.lora_dropout, config.llm_ablation
        )  # fmt: skip
        n_states = len(blocks_of(self.gpt2_text)) + 1
        self.time_proj, self.text_proj = (
            nn.ModuleList(nn.Linear(d_model, d_model, bias=False) for _ in range(n_states))
            for _ in range(2)
        )
        if config.task_name == "classification":
            self.out_layer = nn.Linear(d_model * config.n_channels, config.num_class)
        else:
            steps = config.pred_len if config.task_name in FORECASTING else config.seq_len
            self.out_layer = nn.Linear(d_model, steps)

    def _choose_word_embeddings(self, backbone: PreTrainedModel, given: Tensor | None) -> Tensor:
        """Return the word embeddings `[d_model, components]` that the configuration names."""
        config, path = self.config, self.config.word_embedding_path
        if config.words not in WORDS:
            raise UserError(f"--words {config.words}: use one of {', '.join(WORDS)}")
        if config.words == "none":
            self.word_embeddings_source = "none"
            return torch.empty(config.d_model, 0)
        is_file = path not in (NO_FILE, RANDOM) and (path != DEFAULT_PATH or Path(path).exists())
        if given is not None:
            found, source = given, "given"
        elif is_file:
            found, source = load_word_embeddings(path, config.d_model), describe_file(path)
        else:
            components = config.n_components or min(500, config.d_model)
            table = backbone.get_input_embeddings().weight
            found = principal_word_embeddings(table, components)
            source = f"{components} components computed from {self.backbone}"
        found = first_components(found, config.n_components, source)
        if config.words == "random" or path == RANDOM:
            found = random_directions(found, config.seed)
            source = f"random (seed {config.seed}), variances of {source}"
        self.word_embeddings_source = source
        return found

    def forward(
        self,
        x_enc: Tensor,
        x_mark_enc: Tensor | None = None,
        x_dec: Tensor | None = None,
        x_mark_dec: Tensor | None = None,
        mask: Tensor | None = None,
        past_covariates: Tensor | None = None,
        future_covariates: Tensor | None = None,
    ) -> Tensor:
        """Predict `[batch, steps, channels]` or `[batch, classes]` by the temporal branch, with the
        arguments of Time-Series-Library's models; see `branches` for errors.

        Args:
            x_enc: `[batch, seq_len, channels]`; for imputation with masked entries set to 0.
            x_mark_enc, x_dec, x_mark_dec: not used.
            mask: for imputation, 1 where observed, shape of `x_enc`.
            past_covariates: `[batch, seq_len, covariates]`.
            future_covariates: `[batch, seq_len + pred_len, covariates]`.
        """
        covariates = {"past": past_covariates, "future": future_covariates}
        return self.branches(x_enc, mask, text_branch=False, **covariates).outputs_time

    def branches(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        text_branch: bool | None = None,
        features: bool | None = None,
        past: Tensor | None = None,
        future: Tensor | None = None,
    ) -> CALFOutput:
        """Run the branches that the losses compare.

        Args:
            x, mask, past, future: see `forward`.
            text_branch: whether to run the textual branch; by default in training only.
            features: whether to project the hidden states for the feature loss; by default
                whenever the textual branch runs.

        Raises:
            UserError: more channels than the backbone has learned positions, other covariates than
                the model was made for, or LoRA is merged into weights of the textual branch.
        """
        text_branch = self.training if text_branch is None else text_branch
        features = text_branch if features is None else features
        self.check_channels(x.shape[2])
        given = sum(values.shape[2] for values in (past, future) if values is not None)
        if given != self.n_covariates:
            raise UserError(f"CALF was made for {self.n_covariates} covariates, not for {given}")
        if text_branch and adapter_is_merged(self.gpt2):
            why = "LoRA is merged into weights of the textual branch"
            raise UserError(f"{why}: call gpt2.unmerge_adapter() before it runs")

        if self.config.task_name == "classification":
            mean = scale = None
        else:
            x, mean, scale = standardise(x, mask)
        targets = slice(self.n_covariates, None)
        x_time = self.in_layer.temporal_tokens(rearrange(x, "b l c -> b c l"), past, future)
        y_time, hidden_time = _branch(self.gpt2, x_time, features, targets)
        output = CALFOutput(self._head(y_time, mean, scale))
        if text_branch:
            x_text = self.in_layer.textual_tokens(x_time)
            y_text, hidden_text = _branch(self.gpt2_text, x_text, features, targets)
            output.outputs_text = self._head(y_text, mean, scale)
        if features:
            output.features_time = self._project(self.time_proj, hidden_time)
        if features and text_branch:
            output.features_text = self._project(self.text_proj, hidden_text)
        return output

    def _project(self, projections: nn.ModuleList, hidden: list[Tensor]) -> tuple[Tensor, ...]:
        """Map hidden states `[batch, channels, d_model]` to features of the same shape."""
        if self.config.scale_free:
            hidden = [unit_rms(state) for state in hidden]
        return tuple(project(state) for project, state in zip(projections, hidden, strict=True))

    def _head(self, y: Tensor, mean: Tensor | None, scale: Tensor | None) -> Tensor:
        """Map branch outputs `[batch, channels, d_model]` to predictions or logits."""
        if self.config.task_name == "classification":
            return self.out_layer(rearrange(y, "b c d -> b (c d)"))
        return denormalise(rearrange(self.out_layer(y), "b c p -> b p c"), mean, scale)

    def keep_temporal_branch(self) -> None:
        """Merge LoRA, and drop all that the prediction does not need: this model can't be trained
        any more."""
        self.gpt2 = merge_adapter(self.gpt2)
        self.gpt2_text = self.time_proj = self.text_proj = None
        self.in_layer.cross_attention = self.in_layer.word_embedding = None

    def grad_checkpoint(self, enabled: bool) -> None:
        """Store only the inputs of the blocks; recompute the blocks in the backward pass."""
        for branch in (self.gpt2, self.gpt2_text):
            recompute_blocks(branch, enabled)

    def check_channels(self, channels: int) -> None:
        """Raise a `UserError` if the backbone learns positions, and has fewer than there are
        channels and covariates."""
        positions = most_tokens(self.gpt2)
        if channels + self.n_covariates > positions:
            more = f" and {self.n_covariates} covariates" if self.n_covariates else ""
            has = f"{self.config.llm} has positions for {positions}"
            raise UserError(f"{channels} channels{more}, but {has}: choose fewer columns")


def _branch(
    model: nn.Module, x: Tensor, features: bool, targets: slice
) -> tuple[Tensor, list[Tensor]]:
    """Run a branch on tokens `[batch, tokens, d_model]`, with a residual around it; returns what
    `hidden_states` does, of the `targets` alone (`docs/method.md`, section 3)."""
    output, hidden = hidden_states(model, x, features)
    output = (output + x)[:, targets]
    return output, [*(state[:, targets] for state in hidden[:-1]), output] if features else []
