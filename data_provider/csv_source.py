"""From arguments to the windows of each split of a CSV."""

import sys
from argparse import Namespace
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from data_provider.checks import shortened
from data_provider.csv_file import read_series
from data_provider.windows import WindowDataset
from utils.errors import UserError
from utils.timefeatures import frequency_unit

if TYPE_CHECKING:
    from sklearn.preprocessing import StandardScaler

MONTH = 30  # days
ETT_MONTHS = (12, 4, 4)  # of training, validation and test
ETT_ROWS_A_DAY = {"ETTh1": 24, "ETTh2": 24, "ETTm1": 96, "ETTm2": 96}
CUSTOM_SPLIT = (0.7, 0.1, 0.2)  # fractions of the rows for training, validation and test
# Windows one step apart share all but one of their steps: so few are a single stretch of time, and
# chance decides which epoch is best on it.
FEW_WINDOWS = 10


class NoWindowError(UserError):
    """A split has no window."""


@dataclass(frozen=True)
class Border:
    """Rows `[start, stop)` of a split, including its look-back."""

    start: int
    stop: int


def split_borders(
    data: str,
    rows: int,
    seq_len: int,
    percent: int = 100,
    split: Sequence[float] | None = None,
) -> dict[str, Border]:
    """Compute the borders of the three splits (`docs/method.md`, section 9).

    Args:
        data: `ETTh1`, `ETTh2`, `ETTm1`, `ETTm2`, or `custom` for 70 / 10 / 20 %.
        rows: number of rows in the file.
        seq_len: look-back L; validation and test take theirs from the rows before their start.
        percent: percentage of the training rows to train on, the first ones.
        split: of `custom`, for training, validation and test: fractions of the rows, of which
            validation takes what rounding leaves, or whole numbers of rows.

    Returns:
        Borders by split; they reach past the end of a file too short for an ETT set, or for the
        whole numbers of `split`.
    """
    if data in ETT_ROWS_A_DAY:
        train, val, test = (months * MONTH * ETT_ROWS_A_DAY[data] for months in ETT_MONTHS)
    elif split and all(isinstance(part, int) for part in split):
        train, val, test = split
    else:
        train, _, test = (int(rows * fraction) for fraction in split or CUSTOM_SPLIT)
        val = rows - train - test
    few_shot = (train - seq_len) * percent // 100 + seq_len
    return {
        "train": Border(0, few_shot),
        "val": Border(train - seq_len, train + val),
        "test": Border(train + val - seq_len, train + val + test),
    }


class SeriesSource:
    """One CSV, read once, and the windows of its splits.

    Args:
        args: parsed arguments; `root_path`, `data_path`, `data`, `features`, `target`, `freq`,
            `embed`, `seq_len`, `label_len`, `pred_len`, `percent` and, if present,
            `fill_missing`, `split` and `protocol` are read.

    Raises:
        UserError: the file is invalid (see `read_series`), the target column is missing, or the
            data set is unknown.
    """

    def __init__(self, args: Namespace):
        if args.data not in ETT_ROWS_A_DAY and args.data != "custom":
            known = ", ".join([*ETT_ROWS_A_DAY, "custom"])
            raise UserError(f"--data {args.data} is unknown: use one of {known}")
        frequency_unit(args.freq)
        self.args = args
        path = Path(args.root_path) / args.data_path
        self.table = read_series(path, getattr(args, "fill_missing", None))
        self._arrange(self._columns())

    def _arrange(self, columns: list[str]) -> None:
        order = [self.table.columns.index(column) for column in columns]
        self.columns = columns
        self.values = self.table.values[:, order]
        # as published, MS is the same as M
        one = self.args.features == "MS" and getattr(self.args, "protocol", "sound") == "sound"
        self.target = columns.index(self.args.target) if one else None

    def order_like(self, columns: list[str]) -> None:
        """Reorder the channels like `columns`, which has the same names."""
        self._arrange(columns)

    def _columns(self) -> list[str]:
        """Select and order the channels: in a custom CSV the target comes last."""
        args, names = self.args, self.table.columns
        chosen = "target" in getattr(args, "given", ("target",))
        if args.target not in names and args.features == "M" and not chosen:
            print(
                f"{self.table.path}: no column {args.target}: the target is {names[-1]}, the last"
            )
            return list(names)
        if args.target not in names:
            raise UserError(
                f"{self.table.path}: no column named {args.target}; "
                f"choose the --target among {shortened(names)}"
            )
        if args.features == "S":
            return [args.target]
        if args.data == "custom":
            return [name for name in names if name != args.target] + [args.target]
        return list(names)

    def borders(self) -> dict[str, Border]:
        """Borders of the three splits in this file.

        Raises:
            NoWindowError: the file has fewer rows than the splits of an ETT set, or those of
                `--split`, need.
        """
        args, rows = self.args, len(self.values)
        borders = self._borders(args.percent)
        needed = borders["test"].stop
        if needed > rows:
            of = args.data
            advice = "--data custom splits any file"
            if args.data == "custom":
                of = f"--split {','.join(map(str, args.split))}"
                advice = "give fractions, such as 0.7,0.1,0.2"
            raise NoWindowError(
                f"{self.table.path}: too few rows for the splits of {of}: it has {rows}, "
                f"{needed - rows} fewer than the {needed} needed; {advice}"
            )
        return borders

    def _borders(self, percent: int = 100) -> dict[str, Border]:
        args = self.args
        split = getattr(args, "split", None)
        return split_borders(args.data, len(self.values), args.seq_len, percent, split)

    @cached_property
    def scaler(self) -> "StandardScaler":
        """Fitted on all training rows, whatever `percent` of them is trained on."""
        from sklearn.preprocessing import StandardScaler  # slow to import

        return StandardScaler().fit(self._training_rows())

    def _training_rows(self) -> np.ndarray:
        train = self._borders()["train"]
        return self.values[train.start : max(train.stop, 1)]

    def split(self, flag: str) -> WindowDataset:
        """Cut the windows of the split `train`, `val` or `test`.

        Raises:
            NoWindowError: the split has no window; the message says how many rows are missing.
        """
        args, border = self.args, self.borders()[flag]
        window = args.seq_len + args.pred_len
        available = border.stop - max(border.start, 0)
        if border.start < 0 or available < window:
            missing = -border.start if border.start < 0 else window - available
            raise NoWindowError(
                f"{self.table.path}: no window in the {flag} split: {missing} rows are missing "
                f"(--seq_len {args.seq_len} + --pred_len {args.pred_len} rows are needed, "
                f"{available} are available"
                + (f" at --percent {args.percent})" if flag == "train" else ")")
            )
        rows = slice(border.start, border.stop)
        return self._windows(rows, self.scaler)

    def all_rows(self) -> WindowDataset:
        """Cut the windows of all rows, scaled by all of them: to train without validation."""
        from sklearn.preprocessing import StandardScaler  # slow to import

        return self._windows(slice(None), StandardScaler().fit(self.values))

    def tail(
        self, future: pd.DatetimeIndex, scaler: "StandardScaler | None" = None
    ) -> WindowDataset:
        """Return the last `seq_len` rows of the file, to forecast beyond its end.

        Args:
            future: timestamps of the horizon.
            scaler: by default one fitted on the file's training rows.

        Raises:
            UserError: the file has fewer rows than that.
        """
        rows, seq_len = len(self.values), self.args.seq_len
        if rows < seq_len:
            raise UserError(
                f"{self.table.path}: {seq_len - rows} rows are missing to forecast from: "
                f"--seq_len is {seq_len}, the file has {rows}"
            )
        tail = self._windows(slice(rows - seq_len, rows), scaler or self.scaler)
        tail.dates = tail.dates.append(future)
        return tail

    def describe(self, train: Sized, val: Sized, test: Sized) -> None:
        """Print the sizes of the splits, rows behind them, constant channels, and too large a batch
        size; warn of few validation windows."""
        print(
            f"{self.table.path}: channels: {len(self.columns)}; windows: {len(train):,} train, "
            f"{len(val):,} validation, {len(test):,} test"
        )
        unused = len(self.values) - self.borders()["test"].stop
        if unused and self.args.data == "custom":
            print(f"{self.table.path}: the last {unused:,} rows are in none of the splits")
        if len(val) < FEW_WINDOWS:
            more = "; --split gives it more rows" if self.args.data == "custom" else ""
            print(
                f"warning: {self.table.path}: {len(val)} validation windows: too few to choose the "
                f"best epoch by{more}",
                file=sys.stderr,
            )
        constant = [
            self.columns[i] for i in np.flatnonzero(np.ptp(self._training_rows(), axis=0) == 0)
        ]
        if constant:
            print(f"{self.table.path}: constant in the training rows: {shortened(constant)}")
        if len(train) < self.args.batch_size:
            print(
                f"fewer training windows than --batch_size {self.args.batch_size}: "
                f"one batch of {len(train)}"
            )

    def _windows(self, rows: slice, scaler: "StandardScaler") -> WindowDataset:
        args = self.args
        return WindowDataset(
            scaler.transform(self.values[rows]),
            self.table.dates[rows],
            scaler,
            self.columns,
            args.seq_len,
            args.label_len,
            args.pred_len,
            self.target,
            args.freq,
            args.embed,
        )


def target_args(args: Namespace) -> Namespace:
    """Arguments for the data set that a zero-shot run is tested on.

    `--target_data` names a CSV in `root_path`, with or without its suffix; one other than an ETT
    set is split as `custom`, whatever the `--split` of the training's CSV. Its time marks are those
    of the training set's `--freq`, for which the model was made.
    """
    name = args.target_data
    path = name if name.endswith(".csv") else f"{name}.csv"
    data = name if name in ETT_ROWS_A_DAY else "custom"
    return Namespace(**{**vars(args), "data": data, "data_path": path, "split": None})
