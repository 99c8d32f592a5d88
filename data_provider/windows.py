"""Sliding windows over scaled series: the data set class of forecasting and imputation."""

from collections.abc import Hashable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.timefeatures import time_features


class WindowDataset(Dataset):
    """Windows of `seq_len + pred_len` rows, one step apart, over the rows of one split.

    Args:
        values: scaled rows of the split, including its look-back, `[rows, channels]`; those of
            several tables, of pooled series, one below the other.
        dates: their timestamps.
        mean, scale: which scaled the rows of each table, `[tables, channels]`, float64.
        columns: names of the channels.
        seq_len, pred_len: look-back L and horizon P.
        label_len: last rows of the look-back that an item's target repeats.
        target: the only channel that is scored; None scores all.
        freq, embed: see `utils.timefeatures.time_features`.
        starts: of several tables, the first rows of the windows of each, `[windows]`; by default
            every row that a whole window follows.
        names: of the tables, if they are series by themselves.
        past, future: scaled covariates of the rows, known up to now, and ahead, `[rows,
            covariates]`; None if there are none.

    `dataset[i]` is an item as in Time-Series-Library; `batch` gathers many windows at once.
    """

    def __init__(
        self,
        values: np.ndarray,
        dates: pd.DatetimeIndex,
        mean: Tensor,
        scale: Tensor,
        columns: list[str],
        seq_len: int,
        label_len: int,
        pred_len: int,
        target: int | None = None,
        freq: str = "h",
        embed: str = "timeF",
        starts: Sequence[np.ndarray] | None = None,
        names: Sequence[Hashable] | None = None,
        past: np.ndarray | None = None,
        future: np.ndarray | None = None,
    ):
        self.values = torch.tensor(values, dtype=torch.float32)
        self.past, self.future = (
            None if rows is None else torch.tensor(rows, dtype=torch.float32)
            for rows in (past, future)
        )
        self.dates = dates
        self.mean, self.scale = mean, scale
        self.columns = columns
        self.seq_len, self.label_len, self.pred_len = seq_len, min(label_len, seq_len), pred_len
        self.target = target
        self.freq, self.embed = freq, embed
        self.names, self.starts, self.tables = names, None, None
        if starts is not None:
            self.starts = torch.as_tensor(np.concatenate(starts), dtype=torch.int64)
            self.tables = torch.arange(len(starts)).repeat_interleave(
                torch.tensor([len(rows) for rows in starts])
            )

    def __len__(self) -> int:
        if self.starts is not None:
            return len(self.starts)
        return max(0, len(self.values) - self.seq_len - self.pred_len + 1)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `(x, y, x_mark, y_mark)` of one window.

        Shapes: `[seq_len, channels]`, `[label_len + pred_len, channels]`, and the time marks
        `[.., features]` of the same rows.

        Raises:
            IndexError: no such window.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        start = int(self._first_rows(torch.tensor(index % len(self))))
        cut = start + self.seq_len
        x = slice(start, cut)
        y = slice(cut - self.label_len, cut + self.pred_len)
        return self.values[x], self.values[y], self.marks[x], self.marks[y]

    @cached_property
    def marks(self) -> Tensor:
        """Time marks of the rows, `[rows, marks]`, on their device."""
        marks = time_features(self.dates, self.freq, self.embed)
        return torch.tensor(marks, dtype=torch.float32, device=self.values.device)

    @property
    def n_marks(self) -> int:
        """Number of time marks of a row."""
        return time_features(self.dates[:1], self.freq, self.embed).shape[1]

    @property
    def n_channels(self) -> int:
        return self.values.shape[1]

    def to(self, device: torch.device | str) -> "WindowDataset":
        """Move the rows to `device`, where batches are then gathered."""
        self.values = self.values.to(device)
        self.past, self.future = (
            None if rows is None else rows.to(device) for rows in (self.past, self.future)
        )
        if self.starts is not None:
            self.starts, self.tables = self.starts.to(device), self.tables.to(device)
        self.__dict__.pop("marks", None)
        return self

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather windows: `x` `[batch, seq_len, channels]`, `y` `[batch, pred_len, channels]`.

        Args:
            index: indices of the windows, `[batch]`, on the device of the rows.
        """
        return self._windows(self.values, index).split([self.seq_len, self.pred_len], dim=1)

    def batch_covariates(self, index: Tensor) -> dict[str, Tensor]:
        """Gather the covariates of windows: `past` `[batch, seq_len, covariates]`, and `future`
        `[batch, seq_len + pred_len, covariates]`, if there are any.

        Args:
            index: as for `batch`.
        """
        found = {}
        if self.past is not None:
            found["past"] = self._windows(self.past, index)[:, : self.seq_len]
        if self.future is not None:
            found["future"] = self._windows(self.future, index)
        return found

    def _windows(self, rows: Tensor, index: Tensor) -> Tensor:
        """Gather windows of `[rows, columns]`: `[batch, seq_len + pred_len, columns]`."""
        windows = rows.unfold(0, self.seq_len + self.pred_len, 1)
        return windows[self._first_rows(index)].transpose(1, 2)

    def batch_marks(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather the time marks of windows: those of the look-back `[batch, seq_len, marks]`, and
        those of its last `label_len` steps and the horizon `[batch, label_len + pred_len, marks]`.

        Args:
            index: as for `batch`.
        """
        marks = self._windows(self.marks, index)
        return marks[:, : self.seq_len], marks[:, self.seq_len - self.label_len :]

    def _first_rows(self, index: Tensor) -> Tensor:
        """First rows of the windows `index`, in the same shape."""
        return index if self.starts is None else self.starts[index]

    def scored(self, y: Tensor) -> Tensor:
        """Select the scored channels of `y` `[batch, steps, channels]`, or `[batch, steps, 1]` if
        it has no others."""
        if self.target is None or y.shape[-1] == 1:
            return y
        return y[..., self.target : self.target + 1]

    @property
    def unit(self) -> Tensor | None:
        """A standardised unit of each scored channel in original units, `[channels]`; None of
        several tables."""
        return self.scored(self.scale[None])[0, 0] if len(self.scale) == 1 else None

    def first_row(self, number: int) -> int:
        """Return the first row of a window."""
        return int(self._first_rows(torch.tensor(number)))

    def name(self, number: int, channel: int) -> str:
        """Name the series of a channel of a window."""
        if self.names is None:
            return self.columns[channel]
        return str(self.names[0 if self.tables is None else int(self.tables[number])])

    def inverse_transform(self, y: Tensor, index: Tensor) -> Tensor:
        """Undo the scaling, in float64.

        Args:
            y: `[batch, steps, channels]`, of all channels or the scored ones.
            index: of the windows, `[batch]`.
        """
        tables = torch.zeros_like(index) if self.tables is None else self.tables[index]
        tables = tables.to(self.mean.device)
        scale, mean = (values[tables][:, None].to(y.device) for values in (self.scale, self.mean))
        if self.target is not None and y.shape[-1] == 1:
            scale, mean = (values[..., self.target, None] for values in (scale, mean))
        return y.double() * scale + mean
