"""CALF: cross-modal fine-tuning of GPT-2 for time series (arXiv 2403.07300, Figure 2)."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, fields

from einops import rearrange
from torch import Tensor, nn
from transformers import GPT2Model

from layers.backbone import check_backbone, load_backbone
from layers.gpt2 import build_branches
from layers.instance_norm import denormalise, standardise
from layers.match import CrossModalMatch
from utils.errors import UserError
from utils.word_embeddings import DEFAULT_PATH, load_word_embeddings

FORECASTING = ("long_term_forecast", "short_term_forecast")


@dataclass(frozen=True)
class CALFConfig:
    """What fixes a CALF model; the names are those of the command line.

    Attributes:
        task_name: decides the head: P steps for forecasting, L steps for reconstruction
            (imputation, anomaly detection), logits for classification.
        seq_len: look-back L. pred_len: horizon P.
        n_channels, num_class: channels M and classes, for classification only.
        llm, llm_weights, seed: see `layers.backbone.load_backbone`.
        word_embedding_path: see `utils.word_embeddings.load_word_embeddings`.
        match_heads: heads of the match module; a backbone whose width they do not divide lends
            its own number of heads.
    """

    task_name: str = "long_term_forecast"
    seq_len: int = 96
    pred_len: int = 96
    d_model: int = 768
    gpt_layers: int = 6
    r: int = 8
    lora_alpha: int = 32
    lora_dropout: float = 0.1
    llm: str = "gpt2"
    llm_weights: str = "pretrained"
    seed: int = 2021
    word_embedding_path: str = DEFAULT_PATH
    n_channels: int = 0
    num_class: int = 0
    match_heads: int = 12

    @classmethod
    def of(cls, configs: "CALFConfig | Namespace") -> "CALFConfig":
        """Take from any object with attributes what a model needs."""
        if isinstance(configs, cls):
            return configs
        named = vars(configs)
        return cls(**{f.name: named[f.name] for f in fields(cls) if f.name in named})


@dataclass
class CALFOutput:
    """What one pass gives.

    Attributes:
        outputs_time: prediction of the temporal branch, `[batch, steps, channels]` or
            `[batch, classes]`.
        outputs_text: the same of the textual branch; None when it did not run.
        hidden_time, hidden_text: hidden states i = 0..N, each `[batch, channels, d_model]`; None
            when they were not asked for.
        time_proj, text_proj: their projections phi, applied when features are looked at.
    """

    outputs_time: Tensor
    outputs_text: Tensor | None = None
    hidden_time: list[Tensor] | None = None
    hidden_text: list[Tensor] | None = None
    time_proj: nn.ModuleList | None = None
    text_proj: nn.ModuleList | None = None

    @property
    def features_time(self) -> tuple[Tensor, ...] | None:
        """The projected hidden states of the temporal branch; None when not asked for."""
        return _project(self.time_proj, self.hidden_time)

    @property
    def features_text(self) -> tuple[Tensor, ...] | None:
        """The projected hidden states of the textual branch; None when not asked for."""
        return _project(self.text_proj, self.hidden_text)

    def feature_gaps(self) -> Iterator[Tensor]:
        """Yield `features_time[i] - features_text[i]` one by one, so that only these are kept."""
        hidden = zip(self.hidden_time, self.hidden_text, strict=True)
        for i, (time, text) in enumerate(hidden):
            yield self.time_proj[i](time) - self.text_proj[i](text)


class Model(nn.Module):
    """The two-branch model: match module, temporal and textual GPT-2, projections, shared head.

    Args:
        configs: a `CALFConfig`, or parsed arguments with the same names.
        backbone: the GPT-2 to take over; by default what `configs` names is loaded.
        words: principal word embeddings `[d_model, components]`; by default read from
            `word_embedding_path`.

    Raises:
        UserError: width, depth or files do not fit the backbone.
    """

    def __init__(
        self,
        configs: CALFConfig | Namespace,
        backbone: GPT2Model | None = None,
        words: Tensor | None = None,
    ):
        super().__init__()
        self.config = config = CALFConfig.of(configs)
        if backbone is None:
            backbone = load_backbone(config.llm, config.llm_weights, config.seed)
        check_backbone(backbone.config, config.llm, config.d_model, config.gpt_layers)
        if words is None:
            words = load_word_embeddings(config.word_embedding_path, config.d_model)
        d_model, n_layer = config.d_model, config.gpt_layers
        divides = d_model % config.match_heads == 0
        n_heads = config.match_heads if divides else backbone.config.n_head
        self.in_layer = CrossModalMatch(config.seq_len, words, n_heads)
        self.gpt2, self.gpt2_text = build_branches(
            backbone, n_layer, config.r, config.lora_alpha, config.lora_dropout
        )
        self.time_proj = nn.ModuleList(
            nn.Linear(d_model, d_model, bias=False) for _ in range(n_layer + 1)
        )
        self.text_proj = nn.ModuleList(
            nn.Linear(d_model, d_model, bias=False) for _ in range(n_layer + 1)
        )
        if config.task_name == "classification":
            self.out_layer = nn.Linear(d_model * config.n_channels, config.num_class)
        else:
            steps = config.pred_len if config.task_name in FORECASTING else config.seq_len
            self.out_layer = nn.Linear(d_model, steps)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        text_branch: bool | None = None,
        features: bool | None = None,
    ) -> CALFOutput:
        """Predict from windows.

        Args:
            x: `[batch, seq_len, channels]`; for imputation with masked entries set to 0.
            mask: for imputation, 1 where observed, shape of `x`.
            text_branch: whether to run the textual branch; by default in training only, since
                the prediction does not need it.
            features: whether to keep the hidden states for the feature loss; by default whenever
                the textual branch runs.

        Raises:
            UserError: more channels than GPT-2 has positions.
        """
        text_branch = self.training if text_branch is None else text_branch
        features = text_branch if features is None else features
        self.check_channels(x.shape[2])

        if self.config.task_name == "classification":
            mean = scale = None
        else:
            x, mean, scale = standardise(x, mask)
        x_time = self.in_layer.temporal_tokens(rearrange(x, "b l c -> b c l"))
        y_time, hidden_time = self.gpt2(x_time, output_hidden_states=features)
        output = CALFOutput(self._head(y_time, mean, scale))
        if features:
            output.hidden_time, output.time_proj = hidden_time, self.time_proj
        if text_branch:
            x_text = self.in_layer.textual_tokens(x_time)
            y_text, hidden_text = self.gpt2_text(x_text, output_hidden_states=features)
            output.outputs_text = self._head(y_text, mean, scale)
            if features:
                output.hidden_text, output.text_proj = hidden_text, self.text_proj
        return output

    def _head(self, y: Tensor, mean: Tensor | None, scale: Tensor | None) -> Tensor:
        """Map branch outputs `[batch, channels, d_model]` to predictions or logits."""
        if self.config.task_name == "classification":
            return self.out_layer(rearrange(y, "b c d -> b (c d)"))
        return denormalise(rearrange(self.out_layer(y), "b c p -> b p c"), mean, scale)

    def grad_checkpoint(self, enabled: bool) -> None:
        """Keep of each GPT-2 block only its input for the backward pass, and compute it again."""
        for branch in (self.gpt2.get_base_model(), self.gpt2_text):
            branch.grad_checkpoint = enabled

    def check_channels(self, channels: int) -> None:
        """Refuse more channels than the backbone has positions.

        Raises:
            UserError: with both numbers.
        """
        positions = self.gpt2_text.wpe.num_embeddings
        if channels > positions:
            raise UserError(
                f"the data has {channels} channels, but the backbone {self.config.llm} has "
                f"positions for {positions}: choose fewer columns"
            )

    def projection_parameters(self) -> list[nn.Parameter]:
        """What the second optimiser trains: every trained parameter with `_proj` in its name.

        These are the feature projections and, since the authors' code selects by name, the match
        module's attention projections too.
        """
        return [p for name, p in self._trained() if "_proj" in name]

    def main_parameters(self) -> list[nn.Parameter]:
        """Everything else that is trained."""
        return [p for name, p in self._trained() if "_proj" not in name]

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        return ((name, p) for name, p in self.named_parameters() if p.requires_grad)


def _project(projections: nn.ModuleList, hidden: list[Tensor] | None) -> tuple[Tensor, ...] | None:
    if hidden is None:
        return None
    return tuple(project(state) for project, state in zip(projections, hidden, strict=True))
