"""Sliding windows over scaled series: the data set class of all tasks on tables."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from utils.timefeatures import time_features


@dataclass(eq=False)
class WindowDataset:
    """Windows of `seq_len + pred_len` rows over the rows of one split; `batch` gathers many.

    Attributes:
        values: scaled rows of the split, including its look-back, `[rows, channels]`, float32;
            those of several tables, of pooled series, one below the other.
        seq_len, pred_len: look-back L and horizon P.
        starts: first rows of the windows, `[windows]`; given for each table.
        label_len: last rows of the look-back whose marks the target's repeat.
        dates: timestamps of the rows.
        mean, scale: which scaled the rows of each table, `[tables, channels]`, float64.
        columns: names of the channels.
        target: the only channel that is scored; None scores all.
        freq, embed: see `utils.timefeatures.time_features`.
        names: of the tables, if they are series by themselves.
        past, future: scaled covariates of the rows, known up to now, and ahead, `[rows,
            covariates]`, float32; None if there are none.
    """

    values: Tensor | np.ndarray
    seq_len: int
    pred_len: int
    starts: Sequence[np.ndarray] | Tensor
    label_len: int = 0
    dates: pd.DatetimeIndex | None = None
    mean: Tensor | None = None
    scale: Tensor | None = None
    columns: Sequence[str] = ()
    target: int | None = None
    freq: str = "h"
    embed: str = "timeF"
    names: Sequence[Hashable] | None = None
    past: Tensor | np.ndarray | None = None
    future: Tensor | np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("values", "past", "future"):
            if getattr(self, name) is not None:
                setattr(self, name, torch.as_tensor(getattr(self, name), dtype=torch.float32))
        self.label_len = min(self.label_len, self.seq_len)
        counts = torch.tensor([len(rows) for rows in self.starts])
        self.tables = torch.arange(len(counts)).repeat_interleave(counts)  # of the windows
        self.starts = torch.from_numpy(np.concatenate(self.starts))

    def __len__(self) -> int:
        return len(self.starts)

    @cached_property
    def marks(self) -> Tensor:
        """Time marks of the rows, `[rows, marks]`, on their device."""
        marks = time_features(self.dates, self.freq, self.embed)
        return torch.tensor(marks, dtype=torch.float32, device=self.values.device)

    @property
    def n_channels(self) -> int:
        return self.values.shape[1]

    def to(self, device: torch.device | str) -> "WindowDataset":
        """Move the rows to `device`, where batches are then gathered."""
        for name in ("values", "past", "future", "starts", "tables"):
            if getattr(self, name) is not None:
                setattr(self, name, getattr(self, name).to(device))
        self.__dict__.pop("marks", None)
        return self

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather the windows `index` `[batch]`, which is on the device of the rows: `x` `[batch,
        seq_len, channels]`, `y` `[batch, pred_len, channels]`."""
        return self._windows(self.values, index).split([self.seq_len, self.pred_len], dim=1)

    def batch_covariates(self, index: Tensor) -> dict[str, Tensor]:
        """Gather the covariates of windows: `past` `[batch, seq_len, covariates]`, and `future`
        `[batch, seq_len + pred_len, covariates]`, if there are any."""
        found = {}
        if self.past is not None:
            found["past"] = self._windows(self.past, index)[:, : self.seq_len]
        if self.future is not None:
            found["future"] = self._windows(self.future, index)
        return found

    def batch_marks(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather the time marks of windows: those of the look-back `[batch, seq_len, marks]`, and
        those of its last `label_len` steps and the horizon `[batch, label_len + pred_len, marks]`.
        """
        marks = self._windows(self.marks, index)
        return marks[:, : self.seq_len], marks[:, self.seq_len - self.label_len :]

    def _windows(self, rows: Tensor, index: Tensor) -> Tensor:
        """Gather windows of `[rows, columns]`: `[batch, seq_len + pred_len, columns]`."""
        windows = rows.unfold(0, self.seq_len + self.pred_len, 1)
        return windows[self.starts[index]].transpose(1, 2)

    def scored(self, y: Tensor) -> Tensor:
        """Select the scored channels of `y` `[batch, steps, channels]`, or `[batch, steps, 1]` if
        it has no others."""
        if self.target is None or y.shape[-1] == 1:
            return y
        return y[..., self.target : self.target + 1]

    @property
    def scored_columns(self) -> list[str]:
        """Names of the scored channels."""
        return list(self.columns) if self.target is None else [self.columns[self.target]]

    @property
    def unit(self) -> Tensor | None:
        """A standardised unit of each scored channel in original units, `[channels]`; None of
        several tables."""
        return self.scored(self.scale[None])[0, 0] if len(self.scale) == 1 else None

    def name(self, number: int, channel: int) -> str:
        """Name the series of a channel of a window."""
        if self.names is None:
            return self.columns[channel]
        return str(self.names[int(self.tables[number])])

    def inverse_transform(self, y: Tensor, index: Tensor) -> Tensor:
        """Undo the scaling of `y` `[batch, steps, channels]`, of all channels or the scored ones of
        the windows `index`, in float64."""
        tables = self.tables[index].to(self.mean.device)
        scale, mean = (values[tables][:, None].to(y.device) for values in (self.scale, self.mean))
        if self.target is not None and y.shape[-1] == 1:
            scale, mean = (values[..., self.target, None] for values in (scale, mean))
        return y.double() * scale + mean
