"""The M4 competition's files, and windows cut from its series at random points."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from data_provider.csv_file import LARGEST
from utils.errors import UserError
from utils.files import require_file


@dataclass(frozen=True)
class Pattern:
    """What the competition fixes for a frequency: horizon P, MASE period, and how many horizons
    back training windows are cut."""

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


NAIVE2_FILE = "submission-Naive2.csv"


@dataclass(frozen=True)
class SeriesFile:
    """Series of different lengths: their ids, and their values in the file's order."""

    path: Path
    ids: list[str]
    series: list[np.ndarray]


def find_file(root_path: str | Path, part: str, pattern: str) -> Path:
    """Find `Train/Hourly-train.csv` or `Hourly-train.csv`; `part` is "train" or "test".

    Raises:
        UserError: neither is there.
    """
    root, name = Path(root_path), f"{pattern}-{part}.csv"
    for path in (root / part.capitalize() / name, root / name):
        if path.is_file():
            return path
    raise UserError(
        f"{root}: neither {part.capitalize()}/{name} nor {name} is there; "
        "check --root_path and --seasonal_patterns"
    )


def read_m4(path: str | Path) -> SeriesFile:
    """Read a file of the competition: a header, then a line a series, its id first.

    Lines end with empty cells (or NA) where a series is shorter than the longest. They are split
    here and not by a table reader, which would fill a table of 48,000 by 2,795 cells for the
    Monthly file.

    Raises:
        UserError: the file is missing or empty, a series stands twice, or a cell within one is
            not a number.
    """
    path = Path(path)
    require_file(path, "check --root_path")
    ids, series, seen = [], [], set()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        next(file, None)
        for number, line in enumerate(file, start=2):
            name, _, rest = line.replace('"', "").strip().partition(",")
            cells = _strip_empty(rest)
            if not name and not cells:
                continue
            if name in seen:
                raise UserError(f"{path}: line {number}: series {name} stands twice")
            seen.add(name)
            ids.append(name)
            series.append(_numbers(path, number, name, cells))
    if not ids:
        raise UserError(f"{path}: no series in the file")
    return SeriesFile(path, ids, series)


def _strip_empty(text: str) -> str:
    """Cut empty and NA cells off the end of a line."""
    while True:
        text = text.rstrip(", \t")
        last = text.rpartition(",")[2].strip()
        if last not in ("NA", "NaN", "nan"):
            return text
        text = text[: len(text) - len(last)]


def _numbers(path: Path, line: int, name: str, cells: str) -> np.ndarray:
    try:
        values = np.array(cells.split(","), dtype=np.float64)
        if (np.abs(values) <= LARGEST).all():
            return values
    except ValueError:
        pass
    column, cell = next(
        (column, cell.strip())
        for column, cell in enumerate(cells.split(","), start=2)
        if not _is_number(cell)
    )
    what = f"{cell!r} is not a number up to {LARGEST:g}" if cell else "a missing value"
    raise UserError(f"{path}: line {line} (series {name}), column {column}: {what}")


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) <= LARGEST
    except ValueError:
        return False


def read_pair(root_path: str | Path, pattern: str) -> tuple[SeriesFile, np.ndarray]:
    """Read the training series of a frequency, and its test values `[series, horizon]`.

    Raises:
        UserError: a file is missing or damaged, or the two do not belong together.
    """
    train = read_m4(find_file(root_path, "train", pattern))
    test = read_m4(find_file(root_path, "test", pattern))
    return train, align(test, train, PATTERNS[pattern].horizon)


def align(file: SeriesFile, train: SeriesFile, horizon: int) -> np.ndarray:
    """Take the series of `train`, by id or else by order, `[series, horizon]`.

    Raises:
        UserError: they are not the same series, or one has fewer values.
    """
    by_id = dict(zip(file.ids, file.series, strict=True))
    if by_id.keys() >= set(train.ids):
        rows = [by_id[name] for name in train.ids]
    elif len(file.series) == len(train.series):
        rows = file.series
    else:
        raise UserError(
            f"{file.path}: {len(file.ids)} series, but {train.path} has {len(train.ids)} "
            "with other ids"
        )
    for name, row in zip(train.ids, rows, strict=True):
        if len(row) < horizon:
            raise UserError(f"{file.path}: series {name} has {len(row)} values, not {horizon}")
    return np.stack([row[:horizon] for row in rows])


def read_naive2(root_path: str | Path) -> SeriesFile | None:
    """Read the competition's Naive2 forecasts, where they are."""
    path = Path(root_path) / NAIVE2_FILE
    return read_m4(path) if path.is_file() else None


class M4Dataset(Dataset):
    """Windows of M4 series, cut for all series of a batch at once.

    Args:
        series: values of each series; one of a single value is cut after it.
        seq_len: look-back L. pred_len: horizon P.
        history: horizons back from the end within which windows are cut.

    `batch` gives windows cut at random points, as for training; `last_windows` those at the ends.
    """

    def __init__(self, series: list[np.ndarray], seq_len: int, pred_len: int, history: float):
        self.seq_len, self.pred_len = seq_len, pred_len
        lengths = np.array([len(values) for values in series])
        self.values = torch.tensor(np.concatenate(series), dtype=torch.float32)
        self.lengths = torch.tensor(lengths)
        self.starts = torch.tensor(np.cumsum(lengths) - lengths)
        self.earliest = (self.lengths - int(history * pred_len)).clamp(min=1)
        self.generator = torch.Generator()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a random window of one series, as `batch` does for many."""
        return tuple(
            part[0] for part in self.batch(torch.tensor([index], device=self.values.device))
        )

    def to(self, device: torch.device | str) -> "M4Dataset":
        """Keep the values on `device`."""
        for name in ("values", "lengths", "starts", "earliest"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def reseed(self, seed: int) -> None:
        """Make the random points that follow depend on `seed` alone."""
        self.generator.manual_seed(seed)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut a window of each series at a random point.

        Args:
            index: numbers of the series `[batch]`.

        Returns:
            Look-back `[batch, seq_len, 1]` with zeros before a series begins, the steps after the
            cut `[batch, pred_len, 1]` with zeros after it ends, and the mask of these: 1 where
            there is a value.
        """
        low, length = self.earliest[index], self.lengths[index]
        at = torch.rand(len(index), generator=self.generator, dtype=torch.float64).to(low.device)
        cut = low + (at * (length - low).clamp(min=0)).long()
        ahead = cut[:, None] + torch.arange(self.pred_len, device=cut.device)
        y, mask = self._take(index, ahead)
        return self._look_back(index, cut), y[..., None], mask[..., None].float()

    def last_windows(self, index: Tensor) -> Tensor:
        """The last steps of each series `[batch, seq_len, 1]`, zero-padded in front."""
        return self._look_back(index, self.lengths[index])

    def _look_back(self, index: Tensor, cut: Tensor) -> Tensor:
        back = cut[:, None] + torch.arange(-self.seq_len, 0, device=cut.device)
        return self._take(index, back)[0][..., None]

    def _take(self, index: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Values at places `[batch, steps]` within their series, 0 outside, and where they are."""
        inside = (place >= 0) & (place < self.lengths[index][:, None])
        where = (self.starts[index][:, None] + place).clamp(0, len(self.values) - 1)
        return self.values[where] * inside, inside
