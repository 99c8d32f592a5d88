"""A batch of windows, and the weight of a micro-batch."""

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """A batch of windows.

    Attributes:
        x: the model's input, `[batch, seq_len, channels]`.
        y: the truth, `[batch, steps, channels]`, or classes `[batch]`; None to predict.
        mask: imputation: 1 where `x` is observed and 0 where it is masked, shape of `x`; only
            masked entries are scored.
        y_mask: M4: 1 where the truth is known, shape of `y`.
        period: M4: steps per season.
        channel: `--features MS`: the scored channel.
        x_mark: time marks of the look-back, `[batch, seq_len, marks]`; classification: 1 where `x`
            is observed and 0 where it is padded, `[batch, seq_len]`. None if the model or the task
            has none.
        y_mark: time marks of the last `label_len` steps of the look-back and of the horizon,
            `[batch, label_len + pred_len, marks]`.
        past: covariates known up to now, `[batch, seq_len, covariates]`; None if there are none.
        future: covariates known ahead, `[batch, seq_len + pred_len, covariates]`.
    """

    x: Tensor
    y: Tensor | None = None
    mask: Tensor | None = None
    y_mask: Tensor | None = None
    period: int = 1
    channel: int | None = None
    x_mark: Tensor | None = None
    y_mark: Tensor | None = None
    past: Tensor | None = None
    future: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: slice) -> "Batch":
        """Take some of the windows."""
        tensors = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **tensors)

    @property
    def covariates(self) -> dict[str, Tensor | None]:
        """The covariates by when they are known."""
        return {"past": self.past, "future": self.future}

    def scored(self, y: Tensor) -> Tensor:
        """Select the scored entries of truth or predictions `y`."""
        if self.channel is not None and y.shape[-1] > 1:
            y = y[..., self.channel : self.channel + 1]
        return y if self.mask is None else y[self.mask == 0]

    def scored_entries(self) -> Tensor | None:
        """Count the scored entries of each window `[batch]`; None if all have the same number."""
        return None if self.mask is None else (self.mask == 0).sum(dim=(1, 2))


@dataclass(frozen=True)
class Weight:
    """Weight of a micro-batch in the means over its batch.

    Attributes:
        windows: fraction of the windows. scored: fraction of the scored entries.
    """

    windows: float = 1.0
    scored: float | Tensor = 1.0
