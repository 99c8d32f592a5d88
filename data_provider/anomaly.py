"""Anomaly-detection sets in the files of Time-Series-Library, and their windows."""

import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tokenize import TokenError

import numpy as np
import pandas as pd
import torch
from numpy.lib.format import open_memmap
from torch import Tensor

from data_provider.checks import (
    MAX_MAGNITUDE,
    NOT_A_NUMBER,
    cell,
    naming,
    numbers_of,
    refuse_first,
    require_data_file,
    require_same_channels,
)
from data_provider.files import read_csv
from data_provider.windows import WindowDataset
from utils.errors import UserError

# files of the training rows, the test rows and the labels of the test rows
FILES = {
    "PSM": ("train.csv", "test.csv", "test_label.csv"),
    **{
        name: (f"{name}_train.npy", f"{name}_test.npy", f"{name}_test_label.npy")
        for name in ("MSL", "SMAP", "SMD")
    },
    "SWaT": ("swat_train2.csv", "swat2.csv", "swat2.csv"),
}
ALIASES = {"SWAT": "SWaT"}  # its name in the published code
STRIDES = {"SMD": 100}  # rows between the starts of overlapping windows; 1 for other sets
TRAIN_FRACTION = 0.8  # of the training rows; validation is the rest


@dataclass(frozen=True)
class AnomalyTables:
    """A validated anomaly-detection set.

    Attributes:
        train, test: `[rows, channels]`, float64, finite, with the same channels.
        labels: whether a test row is anomalous, `[test rows]`, bool.
        filled: number of missing cells of both tables that were replaced by 0.
    """

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray
    filled: int


def read_anomaly(data: str, root_path: str | Path) -> AnomalyTables:
    """Read one of the sets in `FILES`.

    PSM's tables begin with a timestamp column, which is dropped; SWaT's end with a label, which is
    ignored for training. Missing cells of PSM become 0, as published; elsewhere they are an error.

    Raises:
        UserError: the set is unknown; a file is missing, damaged or of another layout; a cell is
            no number or too large; or training, test and labels do not fit together. The message
            names the file and, where there is one, the cell.
    """
    if data not in FILES:
        raise UserError(f"--data {data} is unknown: use one of {', '.join(FILES)}")
    paths = [Path(root_path) / name for name in FILES[data]]
    for path in paths:
        require_data_file(path)
    train_path, test_path, label_path = paths
    if data == "PSM":
        frames = [_without_timestamp(path) for path in paths]
        if set(frames[1].columns) == set(frames[0].columns):
            frames[1] = frames[1][frames[0].columns]
        train, test, labels = map(partial(_numbers, gaps=True), paths, frames)
    elif data == "SWaT":
        train = _numbers(train_path, _read_csv(train_path).iloc[:, :-1])
        table = _numbers(test_path, _read_csv(test_path))
        test, labels = table[:, :-1], table[:, -1]
    else:
        train, test = (_numbers(path, _npy_table(path)) for path in paths[:2])
        labels = _read_npy(label_path)
    require_same_channels(test_path, test.shape[1], train_path, train.shape[1])
    labels = _flags(label_path, labels)
    if len(labels) != len(test):
        rows = f"{test_path.name} has {len(test)} rows; each needs one"
        raise UserError(f"{label_path}: {len(labels)} labels, but {rows}")
    filled = int(np.isnan(train).sum() + np.isnan(test).sum())
    return AnomalyTables(np.nan_to_num(train), np.nan_to_num(test), labels, filled)


def _read_csv(path: Path) -> pd.DataFrame:
    frame = read_csv(path)
    if frame.shape[1] < 2:
        raise UserError(f"{path}: a single column; are the columns separated by commas?")
    frame.columns = [str(column).strip() for column in frame.columns]
    return frame


def _without_timestamp(path: Path) -> pd.DataFrame:
    frame = _read_csv(path)
    if not frame.columns[0].startswith("timestamp"):
        raise UserError(f"{path}: the first column is {frame.columns[0]}, not timestamp_(min)")
    return frame.iloc[:, 1:]


def _numbers(path: Path, frame: pd.DataFrame, gaps: bool = False) -> np.ndarray:
    """Convert a table to float64; with `gaps`, cells may be missing, and become NaN."""
    columns = []
    for name, column in frame.items():
        with naming(partial(cell, path, name)):
            values = numbers_of(column)
            wrong = ~(np.abs(values) <= MAX_MAGNITUDE) & ~(gaps & np.isnan(values))
            refuse_first(wrong, lambda row: f"{values[row]} {NOT_A_NUMBER}; replace it")  # noqa: B023
        columns.append(values)
    return np.stack(columns, axis=1)


def _read_npy(path: Path) -> np.ndarray:
    """Memory-map an array of numbers; pickled objects are refused, never loaded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a header that Python 2 wrote, which reads alike
            array = open_memmap(path, mode="r")
    except (ValueError, SyntaxError, TokenError) as error:  # the latter two: a damaged header
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged, or not a .npy file of numbers: {reason}") from error
    if array.dtype.kind not in "biuf":
        raise UserError(f"{path}: its type is {array.dtype}, not numbers")
    return array


def _npy_table(path: Path) -> pd.DataFrame:
    """Read rows of numbers, whose columns are counted from 1."""
    array = _read_npy(path)
    if array.ndim != 2:
        raise UserError(f"{path}: {array.ndim} dimensions instead of 2 (rows, channels)")
    if not array.size:
        raise UserError(f"{path}: no rows or no channels: its shape is {array.shape}")
    return pd.DataFrame(array.astype(np.float64), columns=range(1, array.shape[1] + 1))


def _flags(path: Path, labels: np.ndarray) -> np.ndarray:
    """Convert labels `[rows]` or `[rows, 1]` of any number type to bool `[rows]`."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(f"{path}: each row needs one label, but the shape is {labels.shape}")
    with naming(partial(cell, path, "label")):
        wrong = (labels != 0) & (labels != 1)
        refuse_first(wrong, lambda row: f"the label {labels[row]} is neither 0 nor 1")
    return np.array(labels, dtype=bool)


def make_splits(tables: AnomalyTables, data: str, seq_len: int) -> dict[str, WindowDataset]:
    """Standardise with mean and standard deviation of the training file, and cut windows.

    Args:
        tables: the tables of the set `data`, from `read_anomaly`. seq_len: window length L.

    Returns:
        `train`, overlapping windows that end before the last 20 % of the training rows, which are
        held out for `val`; `train_scored` over the whole training file, for the threshold; `test`.

    Raises:
        UserError: a split has fewer than `seq_len` rows.
    """
    from sklearn.preprocessing import StandardScaler  # slow to import

    scaler = StandardScaler().fit(tables.train)
    train, test = (
        torch.as_tensor(scaler.transform(rows), dtype=torch.float32)
        for rows in (tables.train, tables.test)
    )
    cut = int(len(train) * TRAIN_FRACTION)
    stride = STRIDES.get(data, 1)
    return {
        "train": cut_windows(train[:cut], seq_len, stride, f"{data}, training split"),
        "val": cut_windows(train[cut:], seq_len, seq_len, f"{data}, validation split"),
        "train_scored": cut_windows(train, seq_len, seq_len, f"{data}, training rows"),
        "test": cut_windows(test, seq_len, seq_len, f"{data}, test rows"),
    }


def cut_windows(
    rows: np.ndarray | Tensor, seq_len: int, stride: int, name: str = "the series"
) -> WindowDataset:
    """Cut windows of `seq_len` rows: one every `stride` rows, and one that ends at the last row.

    Args:
        rows: scaled, `[rows, channels]`. name: of the series, for the error.

    Raises:
        UserError: fewer than `seq_len` rows; the message says how many are missing.
    """
    last = len(rows) - seq_len
    if last < 0:
        available = f"--seq_len is {seq_len}, {len(rows)} are available"
        raise UserError(f"{name}: {-last} rows are missing for one window: {available}")
    starts = np.union1d(np.arange(0, last, stride), last)
    return WindowDataset(rows, seq_len, 0, [starts])


def point_scores(windows: WindowDataset, scores: Tensor) -> np.ndarray:
    """Map the scores of windows to the rows, `[rows]`; a row in several windows has its score in
    the first of them.

    Args:
        windows: with a stride of at most `seq_len`, so that every row is in a window.
        scores: a score for each step of each window, `[windows, seq_len]`.
    """
    starts, seq_len = windows.starts.cpu().numpy(), windows.seq_len
    rows = np.arange(len(windows.values))
    first = np.searchsorted(starts, rows - seq_len, side="right")
    return scores.detach().cpu().numpy()[first, rows - starts[first]]
