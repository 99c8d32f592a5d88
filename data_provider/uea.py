"""Read the `.ts` files of the UEA and UCR archives into labelled series."""

import math
import re
import string
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from data_provider.checks import MAX_MAGNITUDE, require_data_file
from data_provider.values import fill_gaps
from utils.errors import UserError

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

HOLD_OUT_ONE_IN = 5  # training samples held out for validation: 20 %
VALUE = re.compile(r"\?|nan|[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class TsFile:
    """A validated `.ts` file.

    Attributes:
        path: where it was read from.
        class_names: in the header's order.
        series: one array a sample, `[length, channels]`, float64, NaN where missing.
        labels: class indices into `class_names`, `[samples]`, int64.
        channel_lengths: values of each channel, missing ones included, `[samples, channels]`.
    """

    path: Path
    class_names: list[str]
    series: list[np.ndarray]
    labels: np.ndarray
    channel_lengths: np.ndarray

    @property
    def n_channels(self) -> int:
        return self.series[0].shape[1]

    @property
    def lengths(self) -> np.ndarray:
        """Number of steps of each series, `[samples]`."""
        return self.channel_lengths.max(axis=1)

    @property
    def longest(self) -> int:
        """Number of steps of the longest series."""
        return int(self.lengths.max())


class ClassificationDataset:
    """Labelled series of one split.

    Args:
        x: scaled series, zero-padded at the end, `[samples, length, channels]`. y: their classes.
        lengths: steps of each series before its padding, `[samples]`; by default all.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, lengths: np.ndarray | None = None):
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.y = torch.as_tensor(y, dtype=torch.int64)
        full = np.full(len(x), self.x.shape[1])
        self.lengths = torch.as_tensor(full if lengths is None else lengths, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def n_channels(self) -> int:
        return self.x.shape[2]

    def to(self, device: torch.device | str) -> "ClassificationDataset":
        """Move the series to `device`, where batches are then gathered."""
        self.x, self.y = self.x.to(device), self.y.to(device)
        self.lengths = self.lengths.to(device)
        return self

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather samples: `x` `[batch, length, channels]`, `y` `[batch]`.

        Args:
            index: indices of the samples, `[batch]`, on the device of the series.
        """
        return self.x[index], self.y[index]

    def padding_mask(self, index: Tensor) -> Tensor:
        """1 where the series `index` have steps, 0 where they are padded, `[batch, length]`."""
        steps = torch.arange(self.x.shape[1], device=self.x.device)
        return (steps < self.lengths[index, None]).float()


@dataclass(frozen=True)
class UeaSplits:
    """The splits of a classification set.

    Attributes:
        train, val, test: padded to the same length.
        class_names: in the order of the class indices. n_channels: number of channels.
        length: number of steps after padding, that of the longest series of both files.
    """

    train: ClassificationDataset
    val: ClassificationDataset
    test: ClassificationDataset
    class_names: list[str]
    length: int
    n_channels: int


def read_ts(path: str | Path) -> TsFile:
    """Read a `.ts` file: a header of `@` tags, then one sample per line.

    Colons separate the channels and the label. Channels shorter than the longest of their sample
    are missing at the end.

    Raises:
        UserError: no such file; a header without `@data` or `@classLabel true`; timestamps; a
            label that the header doesn't name; text, an infinite or a huge value among the
            numbers; a sample with another number of channels; an empty sample or channel; no
            sample. The message names the file and the line.
    """
    path = Path(path)
    require_data_file(path)
    series, labels, lengths, observed = [], [], [], set()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        stripped = ((number, line.strip()) for number, line in enumerate(file, start=1))
        lines = ((number, line) for number, line in stripped if line and line[0] != "#")
        class_names, n_channels, number = _read_header(path, lines)
        class_index = {name: index for index, name in enumerate(class_names)}
        for number, line in lines:
            place = f"{path}: line {number}"
            body, _, label = (part.strip() for part in line.rpartition(":"))
            if label not in class_index:
                raise UserError(
                    f"{place}: the label {_short(label)}, after the last colon, is not one of "
                    f"@classLabel: {_short(', '.join(class_names))}"
                )
            channels = [channel.strip() for channel in body.split(":")]
            n_channels = n_channels or len(channels)
            lengths.append([channel.count(",") + 1 if channel else 0 for channel in channels])
            series.append(_sample(place, channels, lengths[-1], n_channels))
            labels.append(class_index[label])
            observed.update(index for index, channel in enumerate(channels) if channel)
    if not series:
        raise UserError(f"{path}: line {number}: no sample below @data")
    empty = set(range(n_channels)) - observed
    if empty:
        raise UserError(
            f"{path}: line {number}: channel {min(empty) + 1} is empty in this and every other "
            "sample; remove it"
        )
    indices = np.array(labels, dtype=np.int64)
    return TsFile(path, class_names, series, indices, np.array(lengths, dtype=np.int64))


def _read_header(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[list[str], int | None, int]:
    """Read up to `@data`: class names, number of channels if given, and the line of `@data`."""
    class_names, n_channels, number = None, None, 1
    for number, line in lines:
        place = f"{path}: line {number}"
        tag, *values = line.split()
        tag, value = tag.lower(), values[0].lower() if values else ""
        if tag == "@timestamps" and value == "true":
            raise UserError(f"{place}: timestamps are not supported; write plain values")
        if tag in ("@dimension", "@dimensions"):
            if not value.isdecimal() or int(value) < 1:
                raise UserError(f"{place}: {tag} needs a number of channels, not {_short(value)}")
            n_channels = int(value)
        if tag == "@classlabel":
            class_names = values[1:]
            if value != "true" or not class_names:
                raise UserError(f"{place}: no classes; write @classLabel true and their names")
            if len(set(class_names)) < len(class_names):
                raise UserError(f"{place}: @classLabel has a duplicate class")
        if tag == "@data":
            if class_names is None:
                raise UserError(
                    f"{place}: no @classLabel above @data; write @classLabel true and the names "
                    "of the classes"
                )
            return class_names, n_channels, number
    raise UserError(f"{path}: line {number}: the file ends without @data; is it a .ts file?")


def _sample(place: str, channels: list[str], lengths: list[int], n_channels: int) -> np.ndarray:
    """Parse the `channels` of a sample, `[length, n_channels]`, in one call: there may be many."""
    longest = max(lengths)
    if not longest:
        raise UserError(f"{place}: an empty sample; remove the line")
    if len(channels) != n_channels:
        raise UserError(
            f"{place}: {len(channels)} channels, but {n_channels} in @dimensions or in the samples "
            "above"
        )
    joined = ",".join(channel for channel in channels if channel).replace("?", "nan")
    try:
        values = np.fromstring(joined, sep=",")
    except ValueError:
        raise UserError(f"{place}, {_first_bad_value(channels)}") from None
    if len(values) != sum(lengths) or (np.abs(values) > MAX_MAGNITUDE).any():
        raise UserError(f"{place}, {_first_bad_value(channels)}")
    if min(lengths) == longest:
        return values.reshape(n_channels, longest).T
    return _stack(np.split(values, np.cumsum(lengths)[:-1]))


def _stack(channels: list[np.ndarray]) -> np.ndarray:
    """Join channels to `[length, channels]`, with NaN at the end of the shorter ones."""
    sample = np.full((max(map(len, channels)), len(channels)), np.nan)
    for index, channel in enumerate(channels):
        sample[: len(channel), index] = channel
    return sample


def _first_bad_value(channels: list[str]) -> str:
    """Name the first value that is not a finite number."""
    channel, step, value = next(
        (channel, step, value)
        for channel, text in enumerate(channels, start=1)
        if text
        for step, value in enumerate(text.split(","), start=1)
        if not _is_value(value.strip(string.whitespace))
    )
    return (
        f"channel {channel}, value {step}: {_short(value)} is not a number up to "
        f"{MAX_MAGNITUDE:g}; write ? for a missing value"
    )


def _is_value(text: str) -> bool:
    return bool(VALUE.fullmatch(text)) and not abs(float(text.replace("?", "nan"))) > MAX_MAGNITUDE


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def read_pair(root_path: str | Path) -> tuple[TsFile, TsFile]:
    """Read `*_TRAIN.ts` and `*_TEST.ts` in `root_path`, with the same class indices in both.

    Raises:
        UserError: not exactly one file of each kind, an invalid file (see `read_ts`), or two files
            with different channels or classes.
    """
    root = Path(root_path)
    train = read_ts(_only_file(root, "*_TRAIN.ts"))
    test = read_ts(_only_file(root, "*_TEST.ts"))
    if test.n_channels != train.n_channels:
        raise UserError(
            f"{test.path}: {test.n_channels} channels, but {train.path.name} has "
            f"{train.n_channels}; both files need the same channels"
        )
    different = set(test.class_names) ^ set(train.class_names)
    if different:
        raise UserError(
            f"{test.path}: other classes than in {train.path.name}: only one of the two has "
            f"{_short(min(different))}; both need the same @classLabel"
        )
    return train, _with_classes(test, train.class_names)


def _with_classes(file: TsFile, names: list[str]) -> TsFile:
    """Number the classes of a file in the order of `names`."""
    indices = np.array([names.index(name) for name in file.class_names])
    return replace(file, class_names=names, labels=indices[file.labels])


def common_length(files: tuple[TsFile, TsFile]) -> int:
    """Number of steps to which both files are padded: that of their longest series."""
    return max(file.longest for file in files)


def make_splits(files: tuple[TsFile, TsFile], seed: int) -> UeaSplits:
    """Interpolate, scale and pad the series of both files.

    Missing values are interpolated within their sample and channel; the first and last observed
    values are repeated at the ends. Channels are standardised with mean and standard deviation of
    the observed values in the training samples. A channel without any value, in a sample or in
    training, is 0 after scaling.

    Args:
        files: the training and the test file, of `read_pair`.
        seed: of the stratified selection of validation samples: 20 % of the training file, at
            least one per class; classes of a single sample stay in training.

    Raises:
        UserError: no class has two training samples to hold one out.
    """
    train, test = files
    length = common_length(files)
    trained, held_out = _hold_out(train, seed)
    scaler = _fit_scaler([train.series[index] for index in trained])
    tested = np.arange(len(test.series))
    train_set, val_set, test_set = (
        _dataset(_scale(file, index, scaler), file.lengths[index], file.labels[index], length)
        for file, index in ((train, trained), (train, held_out), (test, tested))
    )
    return UeaSplits(
        train=train_set,
        val=val_set,
        test=test_set,
        class_names=train.class_names,
        length=length,
        n_channels=train.n_channels,
    )


def _only_file(root: Path, pattern: str) -> Path:
    found = sorted(path for path in root.glob(pattern) if not path.name.startswith("."))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f"{root}: no {pattern} in this folder; check --root_path "
            "(datasets/README.md says where the data sets come from)"
        )
    names = ", ".join(path.name for path in found)
    raise UserError(f"{root}: {len(found)} files match {pattern}: keep one of {_short(names)}")


def _hold_out(train: TsFile, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split the samples into training and validation, each in the file's order."""
    from sklearn.model_selection import train_test_split  # slow to import

    counts = np.bincount(train.labels)
    divisible = np.flatnonzero(counts[train.labels] > 1)
    if not len(divisible):
        raise UserError(f"{train.path}: too small to hold out validation samples: no class has two")
    n_val = max(math.ceil(len(divisible) / HOLD_OUT_ONE_IN), int((counts > 1).sum()))
    _, held_out = train_test_split(
        divisible, test_size=n_val, stratify=train.labels[divisible], random_state=seed
    )
    held_out = np.sort(held_out)
    return np.setdiff1d(np.arange(len(train.labels)), held_out), held_out


def _fit_scaler(series: list[np.ndarray]) -> "StandardScaler":
    """Fit mean and standard deviation of each channel over the observed values."""
    from sklearn.preprocessing import StandardScaler  # slow to import

    with warnings.catch_warnings():  # a channel that is never observed
        warnings.simplefilter("ignore", RuntimeWarning)
        return StandardScaler().fit(np.concatenate(series))


def fill(series: list[np.ndarray]) -> list[np.ndarray]:
    """Interpolate missing values in each sample `[length, channels]`, and repeat the nearest value
    at the ends; a channel without any value stays NaN."""
    return [fill_gaps(one, "linear") if np.isnan(one).any() else one for one in series]


def _scale(file: TsFile, samples: np.ndarray, scaler: "StandardScaler") -> np.ndarray:
    """Interpolate and standardise samples; a channel without any value is 0.

    Returns:
        Their rows one after another, `[rows, channels]`.
    """
    filled = fill([file.series[index] for index in samples])
    return np.nan_to_num(scaler.transform(np.concatenate(filled)))


def _dataset(
    rows: np.ndarray, lengths: np.ndarray, labels: np.ndarray, length: int
) -> ClassificationDataset:
    """Pad samples, whose scaled rows follow one another, with zeros to `length`."""
    x = np.zeros((len(lengths), length, rows.shape[1]), dtype=np.float32)
    x[np.arange(length) < lengths[:, None]] = rows
    return ClassificationDataset(x, labels, lengths)
