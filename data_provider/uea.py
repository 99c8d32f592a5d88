"""Read the `.ts` files of the UEA and UCR archives into labelled series."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

from data_provider.checks import (
    CHECK,
    fill_gaps,
    naming,
    numbers_in,
    quoted,
    require_data_file,
    require_same_channels,
)
from utils.errors import UserError

HOLD_OUT_ONE_IN = 5  # training samples held out for validation: 20 %


@dataclass(frozen=True)
class TsFile:
    """A validated `.ts` file.

    Attributes:
        series: one array a sample, `[length, channels]`, float64, NaN where missing.
        labels: indices into `class_names`, which are in the header's order, `[samples]`, int64.
    """

    path: Path
    class_names: list[str]
    series: list[np.ndarray]
    labels: np.ndarray

    @property
    def n_channels(self) -> int:
        return self.series[0].shape[1]

    @property
    def lengths(self) -> np.ndarray:
        """Number of steps of each series, `[samples]`."""
        return np.array([len(one) for one in self.series])


def read_ts(path: str | Path) -> TsFile:
    """Read a `.ts` file: a header of `@` tags, then one sample per line.

    Colons separate the channels and the label. Channels shorter than the longest of their sample
    are missing at the end.

    Raises:
        UserError: no such file, or an invalid one; the message names the file and the line.
    """
    path = Path(path)
    require_data_file(path)
    series, labels, observed = [], [], set()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        stripped = ((number, line.strip()) for number, line in enumerate(file, start=1))
        lines = ((number, line) for number, line in stripped if line and line[0] != "#")
        class_names, n_channels, number = _read_header(path, lines)
        class_index = {name: index for index, name in enumerate(class_names)}
        for number, line in lines:
            place = f"{path}: line {number}"
            body, _, label = (part.strip() for part in line.rpartition(":"))
            if label not in class_index:
                known = quoted(", ".join(class_names))
                raise UserError(f"{place}: the label {quoted(label)} is not in @classLabel {known}")
            channels = [channel.strip() for channel in body.split(":")]
            n_channels = n_channels or len(channels)
            series.append(_sample(place, channels, n_channels))
            labels.append(class_index[label])
            observed.update(index for index, channel in enumerate(channels) if channel)
    if not series:
        raise UserError(f"{path}: line {number}: no sample below @data")
    empty = set(range(n_channels)) - observed
    if empty:
        what = f"channel {min(empty) + 1} is empty in this and every other sample"
        raise UserError(f"{path}: line {number}: {what}; remove it")
    return TsFile(path, class_names, series, np.array(labels, dtype=np.int64))


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
                raise UserError(f"{place}: {tag} needs a number of channels, not {quoted(value)}")
            n_channels = int(value)
        if tag == "@classlabel":
            class_names = values[1:]
            if value != "true" or not class_names:
                raise UserError(f"{place}: no classes; write @classLabel true and their names")
            if len(set(class_names)) < len(class_names):
                raise UserError(f"{place}: @classLabel has a duplicate class")
        if tag == "@data" and class_names is None:
            raise UserError(f"{place}: no @classLabel true and names of classes above @data")
        if tag == "@data":
            return class_names, n_channels, number
    raise UserError(f"{path}: line {number}: the file ends without @data; is it a .ts file?")


def _sample(place: str, channels: list[str], n_channels: int) -> np.ndarray:
    """Parse the `channels` of a sample to `[length, n_channels]`, with NaN at the end of the
    shorter ones."""
    if not any(channels):
        raise UserError(f"{place}: an empty sample; remove the line")
    if len(channels) != n_channels:
        above = f"{n_channels} in @dimensions or in the samples above"
        raise UserError(f"{place}: {len(channels)} channels, but {above}")
    found = []
    for channel, text in enumerate(channels, start=1):
        with naming(lambda step: f"{place}, channel {channel}, value {step + 1}"):  # noqa: B023
            found.append(numbers_in(text, gaps=True) if text else np.empty(0))
    sample = np.full((n_channels, max(map(len, found))), np.nan)
    for row, values in zip(sample, found, strict=True):
        row[: len(values)] = values
    return sample.T


def read_pair(root_path: str | Path) -> tuple[TsFile, TsFile]:
    """Read `*_TRAIN.ts` and `*_TEST.ts` in `root_path`, with the same class indices in both.

    Raises:
        UserError: not exactly one file of each kind, an invalid file (see `read_ts`), or two files
            with different channels or classes.
    """
    root = Path(root_path)
    train = read_ts(_only_file(root, "*_TRAIN.ts"))
    test = read_ts(_only_file(root, "*_TEST.ts"))
    require_same_channels(test.path, test.n_channels, train.path, train.n_channels)
    different = set(test.class_names) ^ set(train.class_names)
    if different:
        name = quoted(min(different))
        raise UserError(
            f"{test.path}: other classes than in {train.path.name}: only one of them has {name}; "
            "both need the same @classLabel"
        )
    places = np.array([train.class_names.index(name) for name in test.class_names])
    return train, replace(test, class_names=train.class_names, labels=places[test.labels])


def make_splits(files: tuple[TsFile, TsFile], seed: int) -> dict[str, TensorDataset]:
    """Interpolate and scale the series of both files, and pad them to the length of the longest.

    Missing values are interpolated within their sample and channel; the first and last observed
    values are repeated at the ends. Channels are standardised with mean and standard deviation of
    the observed values in the training samples. A channel without any value, in a sample or in
    training, is 0 after scaling.

    Args:
        files: the training and the test file, of `read_pair`.
        seed: of the stratified selection of validation samples: 20 % of the training file, at
            least one per class; classes of a single sample stay in training.

    Returns:
        `train`, `val` and `test`: series, zero-padded at the end `[samples, length, channels]`,
        float32; their classes, int64; and their lengths before the padding.

    Raises:
        UserError: no class has two training samples to hold one out.
    """
    from sklearn.preprocessing import StandardScaler  # slow to import

    train, test = files
    trained, held_out = _hold_out(train, seed)
    with warnings.catch_warnings():  # a channel that is never observed
        warnings.simplefilter("ignore", RuntimeWarning)
        scaler = StandardScaler().fit(np.concatenate([train.series[index] for index in trained]))
    length = max(file.lengths.max() for file in files)

    def dataset(file: TsFile, samples: np.ndarray) -> TensorDataset:
        filled = fill([file.series[index] for index in samples])
        lengths = file.lengths[samples]
        x = np.zeros((len(filled), length, file.n_channels), dtype=np.float32)
        rows = scaler.transform(np.concatenate(filled))
        x[np.arange(length) < lengths[:, None]] = np.nan_to_num(rows)
        return TensorDataset(*map(torch.from_numpy, (x, file.labels[samples], lengths)))

    return {
        "train": dataset(train, trained),
        "val": dataset(train, held_out),
        "test": dataset(test, np.arange(len(test.series))),
    }


def _only_file(root: Path, pattern: str) -> Path:
    found = sorted(path for path in root.glob(pattern) if not path.name.startswith("."))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"{root}: no {pattern} in this folder; {CHECK.format('--root_path')}")
    names = ", ".join(path.name for path in found)
    raise UserError(f"{root}: {len(found)} files match {pattern}: keep one of {quoted(names)}")


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


def fill(series: list[np.ndarray]) -> list[np.ndarray]:
    """Interpolate missing values in each sample `[length, channels]`, and repeat the nearest value
    at the ends; a channel without any value stays NaN."""
    return [fill_gaps(one, "linear") if np.isnan(one).any() else one for one in series]
