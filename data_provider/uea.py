"""Read the `.ts` files of the UEA and UCR archives, and make labelled series of them."""

import math
import re
import string
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import Dataset

from data_provider.csv_file import LARGEST
from utils.errors import UserError
from utils.files import require_file

HOLD_OUT_ONE_IN = 5  # training samples held out for validation: 20 %
VALUE = re.compile(r"\?|nan|[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class TsFile:
    """A validated `.ts` file.

    Attributes:
        path: where it was read from.
        class_names: in the header's order.
        series: one array a sample, `[length, channels]`, float64, NaN where missing.
        labels: number of each sample's class in `class_names`, `[samples]`, int64.
    """

    path: Path
    class_names: list[str]
    series: list[np.ndarray]
    labels: np.ndarray

    @property
    def n_channels(self) -> int:
        return self.series[0].shape[1]

    @property
    def longest(self) -> int:
        """Steps of the longest series."""
        return max(len(sample) for sample in self.series)


class ClassificationDataset(Dataset):
    """Labelled series of one split.

    Args:
        x: scaled series, zero-padded at the end, `[samples, length, channels]`.
        y: numbers of their classes, `[samples]`.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.y = torch.as_tensor(y, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return a series `[length, channels]` and the number of its class.

        Raises:
            IndexError: there is no such sample.
        """
        return self.x[index], self.y[index]

    @property
    def n_channels(self) -> int:
        return self.x.shape[2]

    def to(self, device: torch.device | str) -> "ClassificationDataset":
        """Keep the series on `device`, so that batches are gathered there."""
        self.x, self.y = self.x.to(device), self.y.to(device)
        return self

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gather samples: `x` `[batch, length, channels]`, `y` `[batch]`.

        Args:
            index: numbers of the samples, `[batch]`, on the device of the series.
        """
        return self.x[index], self.y[index]


@dataclass(frozen=True)
class UeaSplits:
    """The splits of a classification set.

    Attributes:
        train, val, test: padded to the same length and scaled alike.
        class_names: in the order of the training file's header.
        length: steps after padding, those of the longest series of both files.
        n_channels: channels of every series.
    """

    train: ClassificationDataset
    val: ClassificationDataset
    test: ClassificationDataset
    class_names: list[str]
    length: int
    n_channels: int


def read_ts(path: str | Path) -> TsFile:
    """Read a `.ts` file: a header of `@` tags, then a sample a line, channels and label parted
    by colons. Channels of a sample that are shorter than its longest are missing at their end.

    Raises:
        UserError: no such file, a header without `@data` or `@classLabel true`, timestamps, a
            label that the header doesn't name, text, an infinite or a huge value among the
            numbers, a sample with more or fewer channels than the others, nothing at all in a
            sample, in a channel or below `@data`. The message names the file and the line.
    """
    path = Path(path)
    require_file(path, "check --root_path (datasets/README.md says where the data sets come from)")
    series, labels, filled = [], [], set()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        stripped = ((number, line.strip()) for number, line in enumerate(file, start=1))
        lines = ((number, line) for number, line in stripped if line and line[0] != "#")
        class_names, n_channels, number = _read_header(path, lines)
        numbers_of = {name: index for index, name in enumerate(class_names)}
        for number, line in lines:
            place = f"{path}: line {number}"
            body, _, label = (part.strip() for part in line.rpartition(":"))
            if label not in numbers_of:
                raise UserError(
                    f"{place}: the label {_short(label)}, behind the last colon, is not one of "
                    f"@classLabel: {_short(', '.join(class_names))}"
                )
            channels = [channel.strip() for channel in body.split(":")]
            n_channels = n_channels or len(channels)
            series.append(_sample(place, channels, n_channels))
            labels.append(numbers_of[label])
            filled.update(index for index, channel in enumerate(channels) if channel)
    if not series:
        raise UserError(f"{path}: line {number}: no sample below @data")
    empty = set(range(n_channels)) - filled
    if empty:
        raise UserError(
            f"{path}: line {number}: channel {min(empty) + 1} is empty, here and in every other "
            "sample; remove it"
        )
    return TsFile(path, class_names, series, np.array(labels, dtype=np.int64))


def _read_header(path: Path, lines: Iterator[tuple[int, str]]) -> tuple[list[str], int | None, int]:
    """Read up to `@data`: class names, channels where they are said, and the number of its line."""
    class_names, n_channels, number = None, None, 1
    for number, line in lines:
        place = f"{path}: line {number}"
        tag, *values = line.split()
        tag, said = tag.lower(), values[0].lower() if values else ""
        if tag == "@timestamps" and said == "true":
            raise UserError(f"{place}: timestamps are not supported; write plain values")
        if tag in ("@dimension", "@dimensions"):
            if not said.isdecimal() or int(said) < 1:
                raise UserError(f"{place}: {tag} wants a number of channels, not {_short(said)}")
            n_channels = int(said)
        if tag == "@classlabel":
            class_names = values[1:]
            if said != "true" or not class_names:
                raise UserError(f"{place}: no classes; write @classLabel true and their names")
            if len(set(class_names)) < len(class_names):
                raise UserError(f"{place}: @classLabel names a class twice")
        if tag == "@data":
            if class_names is None:
                raise UserError(
                    f"{place}: no @classLabel above @data; write @classLabel true and the names "
                    "of the classes"
                )
            return class_names, n_channels, number
    raise UserError(f"{path}: line {number}: the file ends without @data; is it a .ts file?")


def _sample(place: str, channels: list[str], n_channels: int) -> np.ndarray:
    """Parse the `channels` of a sample, `[length, n_channels]`: all in one go, they are many."""
    lengths = [channel.count(",") + 1 if channel else 0 for channel in channels]
    longest = max(lengths)
    if not longest:
        raise UserError(f"{place}: an empty sample; remove the line")
    if len(channels) != n_channels:
        raise UserError(
            f"{place}: number of channels: {len(channels)} here, {n_channels} in @dimensions or "
            "in the samples above"
        )
    joined = ",".join(channel for channel in channels if channel).replace("?", "nan")
    try:
        values = np.fromstring(joined, sep=",")
    except ValueError:
        raise UserError(f"{place}, {_culprit(channels)}") from None
    if len(values) != sum(lengths) or (np.abs(values) > LARGEST).any():
        raise UserError(f"{place}, {_culprit(channels)}")
    if min(lengths) == longest:
        return values.reshape(n_channels, longest).T
    sample = np.full((longest, n_channels), np.nan)
    for index, channel in enumerate(np.split(values, np.cumsum(lengths)[:-1])):
        sample[: len(channel), index] = channel
    return sample


def _culprit(channels: list[str]) -> str:
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
        f"{LARGEST:g}; write ? for a missing value"
    )


def _is_value(text: str) -> bool:
    return bool(VALUE.fullmatch(text)) and not abs(float(text.replace("?", "nan"))) > LARGEST


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:59]}…")


def load_splits(root_path: str | Path, seed: int, validate_on_test: bool = False) -> UeaSplits:
    """Read the `*_TRAIN.ts` and `*_TEST.ts` in `root_path`, fill, scale and pad their series.

    Missing values are interpolated in time within their sample and channel; before the first and
    after the last observed value that value continues. Channels are standardised with mean and
    standard deviation of what is observed in the samples trained on. A channel of which a sample
    has no value is 0 after scaling, and so is, everywhere, one that training has no value of.

    Args:
        root_path: folder of the two files.
        seed: chooses the samples held out for validation: 20 % of the training file, stratified,
            but as many as there are classes at least; classes of one sample stay in training.
        validate_on_test: train on the whole training file and validate on the test set, as the
            published experiments do.

    Raises:
        UserError: not exactly one file of each kind, a file not as it should be (see `read_ts`),
            two files with different channels or classes, or no class of two samples to hold one
            out of.
    """
    train, test = _read_pair(Path(root_path))
    length = max(train.longest, test.longest)
    everything = np.arange(len(train.series))
    kept, held = (everything, None) if validate_on_test else _hold_out(train, seed)
    moments = _moments([train.series[index] for index in kept])
    test_set = _part(test, np.arange(len(test.series)), length, *moments)
    return UeaSplits(
        train=_part(train, kept, length, *moments),
        val=test_set if held is None else _part(train, held, length, *moments),
        test=test_set,
        class_names=train.class_names,
        length=length,
        n_channels=train.n_channels,
    )


def _read_pair(root: Path) -> tuple[TsFile, TsFile]:
    """Read the training and the test file, the labels of both in the order of the first."""
    train = read_ts(_only_file(root, "*_TRAIN.ts"))
    test = read_ts(_only_file(root, "*_TEST.ts"))
    if test.n_channels != train.n_channels:
        raise UserError(
            f"{test.path}: {test.n_channels} channels, but {train.path.name} has "
            f"{train.n_channels}; they have to be the same"
        )
    unshared = set(test.class_names) ^ set(train.class_names)
    if unshared:
        raise UserError(
            f"{test.path}: other classes than in {train.path.name}: only one of the two has "
            f"{_short(min(unshared))}; @classLabel has to name the same"
        )
    numbers = np.array([train.class_names.index(name) for name in test.class_names])
    return train, replace(test, class_names=train.class_names, labels=numbers[test.labels])


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
    raise UserError(f"{root}: {len(found)} files called {pattern}, keep one of {_short(names)}")


def _hold_out(train: TsFile, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the samples to train on and those to validate on, each in the file's order."""
    counts = np.bincount(train.labels)
    divisible = np.flatnonzero(counts[train.labels] > 1)
    if not len(divisible):
        raise UserError(
            f"{train.path}: too small to hold samples out for validation, since no class has two; "
            "--reference_validation validates on the test file instead"
        )
    n_held = max(math.ceil(len(divisible) / HOLD_OUT_ONE_IN), int((counts > 1).sum()))
    _, held = train_test_split(
        divisible, test_size=n_held, stratify=train.labels[divisible], random_state=seed
    )
    held = np.sort(held)
    return np.setdiff1d(np.arange(len(train.labels)), held), held


def _part(
    file: TsFile, samples: np.ndarray, length: int, mean: np.ndarray, scale: np.ndarray
) -> ClassificationDataset:
    """Fill, scale and pad some samples of a file."""
    x = np.zeros((len(samples), length, file.n_channels), dtype=np.float32)
    for row, index in zip(x, samples, strict=True):
        sample = file.series[index]
        row[: len(sample)] = (_without_holes(sample, mean) - mean) / scale
    return ClassificationDataset(x, file.labels[samples])


def _moments(series: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of each channel over what is observed, `[channels]` both.

    A constant channel has scale 1; one that is never observed has mean 0 and an infinite scale,
    which turns all its values into 0.
    """
    count = sum(np.isfinite(sample).sum(axis=0) for sample in series)
    mean = sum(np.nansum(sample, axis=0) for sample in series) / np.maximum(count, 1)
    squares = sum(np.nansum((sample - mean) ** 2, axis=0) for sample in series)
    low = np.fmin.reduce([np.fmin.reduce(sample) for sample in series])
    high = np.fmax.reduce([np.fmax.reduce(sample) for sample in series])
    scale = np.sqrt(squares / np.maximum(count, 1))
    scale[low == high] = 1.0  # exactly, where rounding of the mean would leave some spread
    scale[count == 0] = np.inf
    return mean, scale


def _without_holes(sample: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Interpolate `sample` `[length, channels]` in time; an unobserved channel gets its mean."""
    missing = np.isnan(sample)
    if not missing.any():
        return sample
    sample, time = sample.copy(), np.arange(len(sample))
    for channel in np.flatnonzero(missing.any(axis=0)):
        holes = missing[:, channel]
        if holes.all():
            sample[:, channel] = mean[channel]
        else:
            values = sample[~holes, channel]
            sample[holes, channel] = np.interp(time[holes], time[~holes], values)
    return sample
