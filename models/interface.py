"""What the training loop asks of a model: one small interface, so that `exp/` names no model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from utils.batch import Batch, Weight
from utils.checkpoint import Checkpoint
from utils.configuration import Configuration
from utils.errors import UserError

CPU_TRAINING_TOKENS = 1024  # of a micro-batch: fits a processor's cache
CPU_EVALUATION_TOKENS = 1536
GPU_EVALUATION_TOKENS = 65536


@dataclass(frozen=True)
class DataShape:
    """What the data determine.

    Attributes:
        seq_len, pred_len: look-back and horizon. n_channels, num_class: channels and classes.
        n_marks: time marks of a step; None if the task has none.
        season_length: steps of a season, as 24 of hourly data; 0 if unknown.
        target: `--features MS`: the scored channel.
        past_covariates, future_covariates: names of those known up to now, and known ahead.
    """

    seq_len: int
    pred_len: int
    n_channels: int
    num_class: int = 0
    n_marks: int | None = None
    season_length: int = 0
    target: int | None = None
    past_covariates: tuple[str, ...] = ()
    future_covariates: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that have their own Adam.

    Attributes:
        learning_rate: fixed; None takes `--learning_rate` and its schedule.
    """

    name: str
    parameters: list[nn.Parameter]
    learning_rate: float | None = None


class Objective(ABC):
    """A model for the training loop, which uses nothing else of it.

    Attributes:
        model: the module whose trained parameters are updated.
        loss_names: the terms of the training loss that epochs report.
        trained: whether models of this kind are trained at all.
        uses_marks: whether batches need time marks, or the padding of series.
        training_windows: most windows of a micro-batch; None if a batch must not be split, as
            with batch normalisation. Then the batches of an evaluation are the same for any number
            of processes, too.
        evaluation_windows: windows of a batch at evaluation.
        shape_options: the options that determine the shapes of its parameters, for messages.
        notes: how the model was made, for records and checkpoints.
    """

    model: nn.Module
    loss_names: tuple[str, ...] = ()
    trained: bool = True
    uses_marks: bool = False
    training_windows: int | None = None
    evaluation_windows: int = 256
    shape_options: str = "--seq_len and --pred_len"
    notes: dict

    @staticmethod
    def resolve_args(args: Configuration) -> Configuration:
        """Fill in the options that the model itself determines; called before anything is built."""
        return args

    @abstractmethod
    def __init__(
        self,
        args: Configuration,
        shape: DataShape,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ):
        """Build the model on `device`, and print a line about it; a `UserError` if options, data or
        files do not match it. What the checkpoint, which will be loaded, has besides parameters
        need not come from files."""

    @abstractmethod
    def losses(self, batch: Batch, weight: Weight) -> dict[str, Tensor]:
        """Compute the loss of a micro-batch.

        Returns:
            Scalars: `total`, to be minimised, and its terms `loss_names`, detached. Those of the
            micro-batches of a batch add up to those of the batch.
        """

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Predict from the windows of a batch, whose truth is not read.

        Returns:
            `[batch, steps, channels]`, or logits `[batch, classes]`.
        """

    def predictor(self, channel: int | None = None) -> "Predictor":
        """Take what predictions need as a module to export; training is over then. `channel` is
        the only one that is forecast; None takes all."""
        return Predictor(self, channel)

    def split_batches(self, tokens: int, batch_size: int, device: torch.device) -> None:
        """Allow micro-batches; choose the windows of these and of evaluation batches by the tokens
        of a window, which measure its memory."""
        on_cpu = device.type == "cpu"
        evaluated = CPU_EVALUATION_TOKENS if on_cpu else GPU_EVALUATION_TOKENS
        self.evaluation_windows = max(1, evaluated // tokens)
        trained = max(1, CPU_TRAINING_TOKENS // tokens) if on_cpu else batch_size
        self.training_windows = min(batch_size, trained)

    def parameter_counts(self) -> dict[str, int]:
        """Count the parameters that are trained, and all in memory."""
        parameters = list(self.model.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        return {"trained": trained, "in_memory": sum(p.numel() for p in parameters)}

    def parameter_groups(self) -> list[ParameterGroup]:
        """Group the trained parameters; by default one group, with `--learning_rate`."""
        return [ParameterGroup("main", [p for p in self.model.parameters() if p.requires_grad])]

    def published_validation_mode(self) -> None:
        """Set the modes of the modules as the published code does for validation."""
        self.model.eval()

    def compile(self) -> None:
        """Compile the model by `torch.compile`, in place."""
        self.model.compile()

    def diagnostics(self, batch: Batch) -> dict[str, float]:
        """Measure what an epoch's record tells of the model itself, on a batch of fixed training
        windows; called in evaluation mode, without gradients. By default nothing."""
        return {}

    def tokens(self, batch: Batch) -> dict[str, Tensor]:
        """Return the embeddings that figures compare with words, `[tokens, d_model]`, by name."""
        return {}

    def word_attention(self, batch: Batch) -> Tensor | None:
        """Return how channels attend to words, means over windows and heads, `[channels, words]`;
        by default None."""
        return None

    def saved_state(self) -> dict[str, Tensor]:
        """What training changes: by default all parameters and buffers."""
        return self.model.state_dict()

    def checkpoint_state(self) -> dict[str, Tensor]:
        """What a checkpoint contains: `saved_state`, and what else the model is built from."""
        return self.saved_state()

    def load_state(self, state: Mapping[str, Tensor], notes: Mapping, path: Path) -> None:
        """Load what `saved_state` returned, perhaps with parameters that are not saved, from the
        checkpoint `path`. A `UserError` if names or shapes differ, or, for some models, what its
        notes tell, which may be empty."""
        self.check_state(state, path)
        self.model.load_state_dict(state, strict=False)

    def check_resumable(self, notes: Mapping, path: Path) -> None:  # noqa: B027
        """Raise a `UserError` if a training state with these notes is of another model; by default
        its shapes say enough."""

    def check_state(self, state: Mapping[str, Tensor], path: Path) -> None:
        """Check names and shapes of a state; see `load_state`."""
        own = self.model.state_dict()
        remedy = f"give the {self.shape_options} that it was trained with"
        for name in state:
            if name in own and state[name].shape != own[name].shape:
                there, here = tuple(state[name].shape), tuple(own[name].shape)
                what = f"{name} is {there} there and {here} here"
                raise UserError(f"{path} does not fit: {what}; {remedy}")
        missing = sorted(self.saved_state().keys() - state.keys())
        extra = sorted(state.keys() - own.keys())
        if missing or extra:
            what = f"it lacks {missing[0]}" if missing else f"it contains {extra[0]}"
            what = f"{what} ({len(missing)} missing, {len(extra)} unknown)"
            raise UserError(f"{path} does not fit: {what}; if it is of this model, {remedy}")


class Predictor(nn.Module):
    """Predictions alone: `[batch, seq_len, channels]` to `[batch, steps, channels]`."""

    def __init__(self, objective: Objective, channel: int | None):
        super().__init__()
        self.model, self.predict, self.channel = objective.model, objective.predict, channel
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        batch = Batch(x, channel=self.channel)
        return batch.scored(self.predict(batch))
