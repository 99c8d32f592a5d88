"""Sliding windows over scaled series: the data set class of forecasting and imputation."""

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from utils.timefeatures import time_features

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler


class WindowDataset(Dataset):
    """Windows of `seq_len + pred_len` rows, one step apart, over the rows of one split.

    Args:
        values: scaled rows of the split, including its look-back, `[rows, channels]`.
        dates: their timestamps; those of a horizon that follows may follow.
        scaler: fitted on the training rows; it scaled `values`.
        columns: names of the channels.
        seq_len: look-back L.
        label_len: last rows of the look-back that an item's target repeats.
        pred_len: horizon P.
        target: the only channel that is scored; None scores all.
        freq, embed: see `utils.timefeatures.time_features`.
        starts: first rows of the windows, `[windows]`; by default every row that a whole window
            follows. Series in a row, one below the other, need it.

    `dataset[i]` is an item as in Time-Series-Library; `batch` gathers many windows at once.
    """

    def __init__(
        self,
        values: np.ndarray,
        dates: pd.DatetimeIndex,
        scaler: "StandardScaler",
        columns: list[str],
        seq_len: int,
        label_len: int,
        pred_len: int,
        target: int | None = None,
        freq: str = "h",
        embed: str = "timeF",
        starts: np.ndarray | None = None,
    ):
        self.values = torch.tensor(values, dtype=torch.float32)
        self.dates = dates
        self.scaler = scaler
        self.columns = columns
        self.seq_len, self.label_len, self.pred_len = seq_len, min(label_len, seq_len), pred_len
        self.target = target
        self.freq, self.embed = freq, embed
        self.starts = None if starts is None else torch.as_tensor(starts, dtype=torch.int64)

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
        self.starts = None if self.starts is None else self.starts.to(device)
        self.__dict__.pop("marks", None)
        return self

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather windows: `x` `[batch, seq_len, channels]`, `y` `[batch, pred_len, channels]`.

        Args:
            index: indices of the windows, `[batch]`, on the device of the rows.
        """
        windows = self.values.unfold(0, self.seq_len + self.pred_len, 1)
        chosen = windows[self._first_rows(index)].transpose(1, 2)
        x, y = chosen.split([self.seq_len, self.pred_len], dim=1)
        return x, y

    def batch_marks(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather the time marks of windows: those of the look-back `[batch, seq_len, marks]`, and
        those of its last `label_len` steps and the horizon `[batch, label_len + pred_len, marks]`.

        Args:
            index: as for `batch`.
        """
        windows = self.marks.unfold(0, self.seq_len + self.pred_len, 1)
        marks = windows[self._first_rows(index)].transpose(1, 2)
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
    def unit(self) -> Tensor:
        """A standardised unit of each scored channel in original units, `[channels]`."""
        return self.scored(torch.as_tensor(self.scaler.scale_)[None, None])[0, 0]

    def inverse_transform(self, y: Tensor) -> Tensor:
        """Undo the scaling of `y` `[.., channels]`, which has all channels or the scored ones."""
        scale = torch.as_tensor(self.scaler.scale_, dtype=y.dtype, device=y.device)
        mean = torch.as_tensor(self.scaler.mean_, dtype=y.dtype, device=y.device)
        if self.target is not None and y.shape[-1] == 1:
            scale, mean = scale[self.target], mean[self.target]
        return y * scale + mean
