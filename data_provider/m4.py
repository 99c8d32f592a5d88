"""The files of the M4 competition, and windows at random points of its series."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data_provider.checks import naming, numbers_in, require_data_file
from utils.errors import UserError


@dataclass(frozen=True)
class Pattern:
    """The competition's settings for a frequency (`docs/method.md`, section 9): horizon P, period
    of MASE, and how many of the last horizons training windows are cut within."""

    horizon: int
    period: int
    history: float


PATTERNS = {
    "Yearly": Pattern(6, 1, 1.5),
    "Quarterly": Pattern(8, 4, 1.5),
    "Monthly": Pattern(18, 12, 1.5),
    "Weekly": Pattern(13, 1, 10),
    "Daily": Pattern(14, 1, 10),
    "Hourly": Pattern(48, 24, 10),
}
PADDING = re.compile(r"(,\s*(NA|NaN|nan)?\s*)+$")  # of a line
NAIVE2_FILE = "submission-Naive2.csv"


@dataclass(frozen=True)
class SeriesFile:
    """Ids and values of series of different lengths, in the file's order."""

    path: Path
    ids: list[str]
    series: list[np.ndarray]


def find_file(root_path: str | Path, part: str, pattern: str) -> Path:
    """Find `Train/Hourly-train.csv` or else `Hourly-train.csv`; `part` is "train" or "test".

    Raises:
        UserError: neither exists.
    """
    root, name = Path(root_path), f"{pattern}-{part}.csv"
    for path in (root / part.capitalize() / name, root / name):
        if path.is_file():
            return path
    neither = f"neither {part.capitalize()}/{name} nor {name} exists"
    raise UserError(f"{root}: {neither}; check --root_path and --seasonal_patterns")


def read_m4(path: str | Path) -> SeriesFile:
    """Read a file of the competition: a header, then an id and the values of a series per line.

    Lines are padded with empty or NA cells to the length of the longest series. They are split
    here because pandas would allocate a table of 48,000 by 2,795 cells for the Monthly file.

    Raises:
        UserError: the file is missing or empty, a series is a duplicate, or a value is not a
            number.
    """
    path = Path(path)
    require_data_file(path)
    found = {}
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        next(file, None)
        for number, line in enumerate(file, start=2):
            name, comma, rest = line.replace('"', "").strip().partition(",")
            cells = PADDING.sub("", comma + rest)[1:]
            if not name and not cells:
                continue
            if name in found:
                raise UserError(f"{path}: line {number}: duplicate series {name}")
            with naming(partial(_place, path, number, name)):
                found[name] = numbers_in(cells)
    if not found:
        raise UserError(f"{path}: no series in the file")
    return SeriesFile(path, list(found), list(found.values()))


def _place(path: Path, line: int, series: str, number: int) -> str:
    return f"{path}: line {line} (series {series}), column {number + 2}"


def read_pair(root_path: str | Path, pattern: str) -> tuple[SeriesFile, np.ndarray]:
    """Read the training series of a frequency and the test values `[series, horizon]`.

    Raises:
        UserError: a file is missing or damaged, or the two have different series.
    """
    train = read_m4(find_file(root_path, "train", pattern))
    test = read_m4(find_file(root_path, "test", pattern))
    return train, align(test, train, PATTERNS[pattern].horizon)


def align(file: SeriesFile, train: SeriesFile, horizon: int) -> np.ndarray:
    """Match the series of `file` to those of `train`, by id or else by order: `[series, horizon]`.

    Raises:
        UserError: the series differ, or one has fewer than `horizon` values.
    """
    rows, by_id = file.series, dict(zip(file.ids, file.series, strict=True))
    if by_id.keys() >= set(train.ids):
        rows = [by_id[name] for name in train.ids]
    elif len(rows) != len(train.ids):
        other = f"{train.path} has {len(train.ids)} with different ids"
        raise UserError(f"{file.path}: {len(rows)} series, but {other}")
    for name, row in zip(train.ids, rows, strict=True):
        if len(row) < horizon:
            raise UserError(f"{file.path}: series {name} has {len(row)} values, not {horizon}")
    return np.stack([row[:horizon] for row in rows])


def read_naive2(root_path: str | Path) -> SeriesFile | None:
    """Read the competition's Naive2 forecasts; None without their file."""
    path = Path(root_path) / NAIVE2_FILE
    return read_m4(path) if path.is_file() else None


class M4Dataset:
    """Windows of M4 series: `batch` cuts at random points, `last_windows` at the ends.

    Args:
        series: values of each; one of a single value is cut after it.
        seq_len, pred_len, history: look-back L and horizon P; see `Pattern`.
        label_len: training windows cut after fewer steps than this have no target: the published
            code takes their label window, and with it the target, from the wrong end of the
            series. 0: every window has one.
    """

    def __init__(
        self,
        series: list[np.ndarray],
        seq_len: int,
        pred_len: int,
        history: float,
        label_len: int = 0,
    ):
        self.seq_len, self.pred_len, self.label_len = seq_len, pred_len, label_len
        lengths = np.array([len(values) for values in series])
        self.values = torch.tensor(np.concatenate(series), dtype=torch.float32)
        self.lengths = torch.tensor(lengths)
        self.starts = torch.tensor(np.cumsum(lengths) - lengths)
        self.earliest = (self.lengths - int(history * pred_len)).clamp(min=1)

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device | str) -> "M4Dataset":
        """Move the values to `device`."""
        for name in ("values", "lengths", "starts", "earliest"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a window of each of the series `index` `[batch]` at a random point; see `windows`."""
        low, length = self.earliest[index], self.lengths[index]
        random = torch.rand(len(index), dtype=torch.float64)
        cut = low + (random.to(low.device) * (length - low).clamp(min=0)).long()
        return self.windows(index, cut)

    def windows(self, index: Tensor, cut: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a window of each of the series `index` `[batch]`.

        Args:
            cut: number of steps before the horizon begins, `[batch]`.

        Returns:
            Look-back `[batch, seq_len, 1]`, zero-padded before a series begins; horizon
            `[batch, pred_len, 1]`, zero-padded after it ends, and all 0 if `cut` is less than
            `label_len`; and the mask of the horizon, 1 where there is a value. Recording:
            `protocol/m4_windows`.
        """
        horizon = cut[:, None] + torch.arange(self.pred_len, device=cut.device)
        horizon = horizon.masked_fill(cut[:, None] < self.label_len, -1)
        y, mask = self._gather(index, horizon)
        return self._look_back(index, cut), y[..., None], mask[..., None].float()

    def last_windows(self, index: Tensor) -> Tensor:
        """The last steps of each series, `[batch, seq_len, 1]`, zero-padded in front."""
        return self._look_back(index, self.lengths[index])

    def _look_back(self, index: Tensor, cut: Tensor) -> Tensor:
        steps = cut[:, None] + torch.arange(-self.seq_len, 0, device=cut.device)
        return self._gather(index, steps)[0][..., None]

    def _gather(self, index: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Values at `steps` `[batch, steps]` of their series, 0 outside it, and their mask."""
        inside = (steps >= 0) & (steps < self.lengths[index][:, None])
        position = (self.starts[index][:, None] + steps).clamp(0, len(self.values) - 1)
        return self.values[position] * inside, inside
