"""What the training loop asks of a model: one small interface, so that `exp/` names no model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from utils.batch import Batch, Weight
from utils.errors import UserError

Options = TypeVar("Options")  # any object with the options of the command line as attributes


@dataclass(frozen=True)
class DataShape:
    """What the data fix of a model: look-back, horizon, channels and classes."""

    seq_len: int
    pred_len: int
    n_channels: int
    num_class: int = 0


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with an Adam of their own.

    Attributes:
        learning_rate: a fixed one; None for `--learning_rate` with its schedule.
    """

    name: str
    parameters: list[nn.Parameter]
    learning_rate: float | None = None


class Objective(ABC):
    """A model as the training loop sees it. The loop knows no model but through this class.

    Attributes:
        model: the module whose trained parameters are updated.
        loss_names: the terms of the training loss that epochs report.
        training_windows: most windows of a micro-batch; None for a model whose batch must not be
            split, such as one with batch normalisation.
        evaluation_windows: windows to evaluate at a time.
        shape_options: the options that decide the shapes of its parameters, for messages.
        notes: how the model was made, for records and checkpoints.
    """

    model: nn.Module
    loss_names: tuple[str, ...] = ("task",)
    training_windows: int | None = None
    evaluation_windows: int = 256
    shape_options: str = "--seq_len and --pred_len"
    notes: dict

    @staticmethod
    def resolve_args(args: Options) -> Options:
        """Fill in the options that the model itself decides; called before anything is built."""
        return args

    @abstractmethod
    def __init__(self, args: object, shape: DataShape, device: torch.device):
        """Build the model on `device`, and print a line about it.

        Args:
            args: the options of the command line, as attributes.

        Raises:
            UserError: options, data or files do not fit the model.
        """

    @abstractmethod
    def losses(self, batch: Batch, weight: Weight) -> dict[str, Tensor]:
        """Compute the loss of a micro-batch.

        Returns:
            Scalars: `total`, to be minimised, and each of `loss_names`, detached. Those of the
            micro-batches of a batch add up to those of the batch.
        """

    @abstractmethod
    def predict(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Predict from windows `x` `[batch, seq_len, channels]`.

        Args:
            mask: imputation: 1 where `x` is observed, shape of `x`.

        Returns:
            `[batch, steps, channels]`, or logits `[batch, classes]`.
        """

    def parameter_groups(self) -> list[ParameterGroup]:
        """Sort the trained parameters: by default one group, with `--learning_rate`."""
        return [ParameterGroup("main", [p for p in self.model.parameters() if p.requires_grad])]

    def published_validation_mode(self) -> None:
        """Switch the modes of the modules as the published code does to validate."""
        self.model.eval()

    def compile(self) -> None:
        """Run the model by `torch.compile` from here on; its parameters stay the same."""
        self.model.compile()

    def saved_state(self) -> dict[str, Tensor]:
        """Take what a checkpoint holds: parameters and buffers, but for frozen parameters.

        `torch.distributed.checkpoint.state_dict` would keep a frozen parameter's second name, and
        the branches of CALF share theirs.
        """
        named = self.model.named_parameters(remove_duplicate=False)
        frozen = {name for name, p in named if not p.requires_grad}
        state = self.model.state_dict()
        return {name: value for name, value in state.items() if name not in frozen}

    def load_state(self, state: Mapping[str, Tensor], notes: Mapping, path: Path) -> None:
        """Load what `saved_state` took; frozen parameters may be among it.

        Args:
            notes: what the checkpoint notes of its model; empty where it notes nothing.
            path: of the checkpoint, for messages.

        Raises:
            UserError: names or shapes differ.
        """
        self.check_state(state, path)
        self.model.load_state_dict(state, strict=False)

    def check_backbone(self, notes: Mapping, path: Path) -> None:
        """Refuse to resume on another backbone than training began with.

        Args:
            notes: what the state notes of its model. path: of the state, for messages.
        """
        ours, theirs = (n.get("backbone", {}).get("fingerprint") for n in (self.notes, notes))
        if ours != theirs:
            raise UserError(
                f"{path}: another backbone than when training began: --resume needs the same --llm"
            )

    def check_state(self, state: Mapping[str, Tensor], path: Path) -> None:
        """Refuse a state that is not of this model; see `load_state`."""
        own = self.model.state_dict()
        for name in state:
            if name in own and state[name].shape != own[name].shape:
                raise UserError(
                    f"{path} does not fit: {name} is {tuple(state[name].shape)} there and "
                    f"{tuple(own[name].shape)} here; give the {self.shape_options} that it was "
                    "trained with"
                )
        missing = sorted(self.saved_state().keys() - state.keys())
        extra = sorted(state.keys() - own.keys())
        if missing or extra:
            what = f"lacks {missing[0]}" if missing else f"holds {extra[0]}"
            raise UserError(
                f"{path} does not fit: it {what} ({len(missing)} missing, {len(extra)} unknown); "
                f"is it a checkpoint of this model? Then give the {self.shape_options} that it "
                "was trained with"
            )
