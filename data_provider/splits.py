"""From a panel to scaled windows of training, validation and test."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from data_provider.checks import require_data_file, require_set, shortened, target_file
from data_provider.panel import Panel, Reading, Table, series_name
from data_provider.reader import read_panel
from data_provider.windows import WindowDataset
from utils.configuration import Configuration
from utils.errors import UserError
from utils.timefeatures import calendar, frequency_unit

MONTH = 30  # days
ETT_MONTHS = (12, 4, 4)  # of training, validation and test
ETT_ROWS_A_DAY = {"ETTh1": 24, "ETTh2": 24, "ETTm1": 96, "ETTm2": 96}
CUSTOM_SPLIT = (0.7, 0.1, 0.2)  # fractions of the rows for training, validation and test
# Windows one step apart share all but one of their steps: so few are a single stretch of time, and
# chance decides which epoch is best on it.
FEW_WINDOWS = 10


Borders = dict[str, range]  # rows of each split, including its look-back


class NoWindowError(UserError):
    """A split has no window."""


def split_borders(
    data: str,
    rows: int,
    seq_len: int,
    percent: int = 100,
    split: Sequence[float] | None = None,
) -> Borders:
    """Compute the borders of the three splits (`docs/method.md`, section 9).

    Args:
        data: `ETTh1`, `ETTh2`, `ETTm1`, `ETTm2`, or `custom` for 70 / 10 / 20 %.
        rows: number of rows of the table.
        seq_len: look-back L; validation and test take theirs from the rows before their start.
        percent: percentage of the training rows to train on, the first ones.
        split: of `custom`, for training, validation and test: fractions of the rows, of which
            validation takes what rounding leaves, or whole numbers of rows.

    Returns:
        Borders by split; they reach past the end of a table too short for an ETT set, or for the
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
        "train": range(few_shot),
        "val": range(train - seq_len, train + val),
        "test": range(train + val - seq_len, train + val + test),
    }


Moments = tuple[np.ndarray, np.ndarray]  # mean and scale, `[series]`


def _moments(values: np.ndarray, covariates: bool = False) -> Moments:
    """Compute mean and scale; a constant covariate is scaled by its size, if that is above 1."""
    from sklearn.preprocessing import StandardScaler  # slow to import

    scaler = StandardScaler().fit(values)
    mean, scale = scaler.mean_, scaler.scale_
    if covariates:
        constant = np.ptp(values, axis=0) == 0
        scale = np.where(constant, np.maximum(np.abs(mean), 1), scale)
    return mean, scale


def with_unknown(values: np.ndarray, rows: int) -> np.ndarray:
    """Continue `values` `[.., columns]` by NaN, up to so many rows."""
    return np.pad(values, ((0, rows - len(values)), (0, 0)), constant_values=np.nan)


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each series over its training rows, 1 where it is constant.

    Attributes:
        mean, scale: `[series]`, float64. number: of a series, by its `series_name`.
    """

    mean: np.ndarray
    scale: np.ndarray
    number: dict[str, int]

    @classmethod
    def fit(cls, tables: Sequence[Table], rows: Sequence[int]) -> "Scaler":
        """Compute those of tables and their covariates; `rows`: training rows of each, the first
        ones."""
        parts = [(table, stop, False) for table, stop in zip(tables, rows, strict=True)]
        parts += [
            (part, stop, True)
            for table, stop, _ in parts
            for part in (table.past, table.future)
            if part is not None
        ]
        moments = [_moments(part.values[:stop], covariates) for part, stop, covariates in parts]
        mean, scale = (np.concatenate(numbers) for numbers in zip(*moments, strict=True))
        ids = [series_name(name) for part, _, _ in parts for name in part.ids]
        return cls(mean, scale, {name: number for number, name in enumerate(ids)})

    def of(self, table: Table, covariates: bool = False) -> Moments:
        """Return mean and scale of the series of a table; those of a series that training has not
        seen are of the rows at hand."""
        names = [series_name(name) for name in table.ids]
        unseen = [name not in self.number for name in names]
        places = [self.number.get(name, 0) for name in names]
        mean, scale = self.mean[places], self.scale[places]
        if any(unseen):
            own_mean, own_scale = _moments(table.values, covariates)
            mean, scale = np.where(unseen, own_mean, mean), np.where(unseen, own_scale, scale)
        return mean, scale

    def covariates(
        self, panel: Panel, table: Table, part: slice, dates: pd.DatetimeIndex
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Standardise the covariates of some rows of a table, and of those that follow up to the
        end of `dates`: those known up to now, and those known ahead, which the calendar follows;
        `[dates, covariates]`, None where there are none."""

        def scaled(covariates: Table) -> np.ndarray:
            mean, scale = self.of(covariates, covariates=True)
            start, _, _ = part.indices(len(table.dates))
            return (covariates.values[start : start + len(dates)] - mean) / scale

        past = None if table.past is None else with_unknown(scaled(table.past), len(dates))
        ahead = [] if table.future is None else [scaled(table.future)]
        if panel.reading.calendar:
            ahead.append(calendar(panel.clock.axis(dates)))
        return past, np.concatenate(ahead, axis=1) if ahead else None


class Splits:
    """The windows of a panel: of training, validation and test.

    Args:
        panel: of the channels that are trained on, in their order.
        options: of the run.
        train_rows: how many rows of a table are trained on, by its number of rows; the others are
            for validation. By default the options say it.

    Attributes:
        borders: of each table.
        target: the only channel that is scored; None scores all.
        scaler: fitted on all training rows, whatever part of them is trained on.
    """

    def __init__(
        self,
        panel: Panel,
        options: Configuration,
        train_rows: Mapping[int, int] | None = None,
    ):
        self.panel, self.options = panel, options
        # as published, MS is the same as M
        one = options.features == "MS" and options.protocol == "sound"
        self.target = panel.columns.index(options.target) if one else None

        def borders(rows: int, percent: int) -> Borders:
            if train_rows is None:
                return split_borders(options.data, rows, options.seq_len, percent, options.split)
            split = (train_rows[rows], rows - train_rows[rows], 0)
            return split_borders("custom", rows, options.seq_len, split=split)

        lengths = [len(table.dates) for table in panel.tables]
        self.borders = [borders(rows, options.percent) for rows in lengths]
        whole = [borders(rows, 100)["train"] for rows in lengths]
        self.training_rows = [max(border.stop, 1) for border in whole]
        self.scaler = Scaler.fit(panel.tables, self.training_rows)

    def split(self, flag: str) -> WindowDataset:
        """Cut the windows of the split `train`, `val` or `test`, of all tables that have one.

        Raises:
            NoWindowError: there is none; the message says how many rows are missing.
        """
        window = self.options.seq_len + self.options.pred_len
        parts = []
        for table, borders in zip(self.panel.tables, self.borders, strict=True):
            border = borders[flag]
            whole = borders["test"].stop <= len(table.dates) and border.start >= 0
            if whole and len(border) >= window:
                parts.append((table, slice(border.start, border.stop)))
        if not parts:
            raise NoWindowError(self._without_window(flag))
        every = len(self.panel.tables)
        if len(parts) < every:
            without = f"series without a window in the {flag} split"
            print(f"{self.panel.source}: {without}: {every - len(parts):,} of {every:,}")
        return windows_of(self.panel, parts, self.options, self.scaler, self.target)

    def _without_window(self, flag: str) -> str:
        options, panel = self.options, self.panel
        pairs = zip(panel.tables, self.borders, strict=True)
        table, borders = max(pairs, key=lambda pair: len(pair[0].dates))
        rows, border, last = len(table.dates), borders[flag], borders["test"].stop
        where = panel.place(table)
        if last > rows:
            of, advice = options.data, "--data custom splits any file"
            if options.data == "custom":
                of = f"--split {','.join(map(str, options.split))}"
                advice = "give fractions, such as 0.7,0.1,0.2"
            has = f"it has {rows}, {last - rows} fewer than the {last} needed"
            return f"{where}: too few rows for the splits of {of}: {has}; {advice}"
        if border.start < 0:
            missing = f"{-border.start} rows are missing before it"
            needed, available = f"--seq_len {options.seq_len}", options.seq_len + border.start
        else:
            available = len(border)
            missing = f"{options.seq_len + options.pred_len - available} rows are missing"
            needed = f"--seq_len {options.seq_len} + --pred_len {options.pred_len}"
        at = f" at --percent {options.percent}" if flag == "train" else ""
        found = f"{needed} rows are needed, {available} are available{at}"
        return f"{where}: no window in the {flag} split: {missing} ({found})"

    def describe(self, train: WindowDataset, val: WindowDataset, test: WindowDataset) -> None:
        """Print the sizes of the splits, rows behind them, constant channels, and too large a batch
        size; warn of few validation windows."""
        panel, options = self.panel, self.options
        what = f"series: {len(panel.tables):,}, pooled"
        if not panel.pooled:
            what = f"channels: {len(panel.channels)}"
        print(
            f"{panel.source}: {what}; windows: {len(train):,} train, {len(val):,} validation, "
            f"{len(test):,} test"
        )
        custom = options.data == "custom"
        unused = len(panel.tables[0].dates) - self.borders[0]["test"].stop
        if unused and custom:
            print(f"{panel.source}: the last {unused:,} rows are in none of the splits")
        if len(val) < FEW_WINDOWS:
            more = "; --split gives it more rows" if custom else ""
            few = f"{len(val)} validation windows: too few to choose the best epoch by"
            print(f"warning: {panel.source}: {few}{more}", file=sys.stderr)
        constant = [
            str(table.ids[i])
            for table, rows in zip(panel.tables, self.training_rows, strict=True)
            for i in np.flatnonzero(np.ptp(table.values[:rows], axis=0) == 0)
        ]
        if constant:
            print(f"{panel.source}: constant in the training rows: {shortened(constant)}")
        if len(train) < options.batch_size:
            print(f"--batch_size {options.batch_size}: one batch of {len(train)} training windows")


def windows_of(
    panel: Panel,
    parts: Sequence[tuple[Table, slice]],
    args: Configuration,
    scaler: Scaler,
    target: int | None = None,
    ahead: int = 0,
) -> WindowDataset:
    """Put rows of tables of a panel one below the other; no window has rows of two.

    Args:
        ahead: steps to forecast behind the rows, the last ones of their tables: only their dates
            and what is known ahead are there, the rest is NaN.
    """
    moments = [scaler.of(table) for table, _ in parts]
    mean, scale = (np.stack(numbers) for numbers in zip(*moments, strict=True))
    dates, values, covariates, starts, above = [], [], [], [], 0
    for number, (table, part) in enumerate(parts):
        rows = table.dates[part]
        dates.append(rows.append(panel.future(table, ahead)) if ahead else rows)
        scaled = (table.values[part] - mean[number]) / scale[number]
        values.append(with_unknown(scaled, len(dates[-1])))
        covariates.append(scaler.covariates(panel, table, part, dates[-1]))
        last = len(dates[-1]) - args.seq_len - args.pred_len
        starts.append(above + np.arange(max(0, last + 1)))
        above += len(dates[-1])
    past, future = (
        None if rows[0] is None else np.concatenate(rows) for rows in zip(*covariates, strict=True)
    )
    return WindowDataset(
        np.concatenate(values),
        args.seq_len,
        args.pred_len,
        starts,
        label_len=args.label_len,
        dates=dates[0].append(dates[1:]),
        mean=torch.from_numpy(mean),
        scale=torch.from_numpy(scale),
        columns=panel.channels,
        target=target,
        freq=args.freq,
        embed=args.embed,
        names=[table.ids[0] for table, _ in parts] if panel.pooled else None,
        past=past,
        future=future,
    )


# From the options of a run


def read_data(args: Configuration, trained: Mapping[str, object] | None = None) -> Panel:
    """Read the file that the options of a run name, with all its series; see `read_panel`.

    Raises:
        UserError: the file is invalid, or the data set is unknown.
    """
    require_set(args.data)
    frequency_unit(args.freq)
    path = Path(args.root_path) / args.data_path
    require_data_file(path, "--root_path and --data_path, or --target_data")
    return read_panel(path, Reading.of(args), trained)


def chosen_series(panel: Panel, args: Configuration) -> list:
    """Select and order the channels by `--features` and `--target`: of a custom set the target
    comes last.

    Raises:
        UserError: there is no such target.
    """
    by_name = {str(name): name for name in panel.names}
    chosen = "target" in args.given
    if args.features == "M" and (panel.pooled or (args.target not in by_name and not chosen)):
        return list(panel.names)
    if args.target not in by_name:
        among = shortened(panel.names)
        raise UserError(
            f"{panel.source}: no column named {args.target}; choose --target among {among}"
        )
    target = by_name[args.target]
    if args.features == "S":
        return [target]
    if panel.pooled:
        needs = f"--features {args.features} needs the same timestamps in all series"
        raise UserError(f"{panel.source}: {needs}: give --features M, or S for one of them")
    if args.data == "custom":
        return [name for name in panel.names if name != target] + [target]
    return list(panel.names)


def target_args(args: Configuration) -> dict[str, object]:
    """Options that differ for the data set that a zero-shot run is tested on.

    `--target_data` names a CSV in `root_path`, with or without its suffix; one other than an ETT
    set is split as `custom`, whatever the `--split` of the training's CSV. Its time marks are those
    of the training set's `--freq`, for which the model was made.
    """
    name = args.target_data
    data = name if name in ETT_ROWS_A_DAY else "custom"
    return {"data": data, "data_path": target_file(name), "split": None}


def padded(table: Table, rows: int) -> Table:
    """Repeat the first row of a table before it until it has `rows` rows."""
    missing = rows - len(table.values)
    if missing <= 0:
        return table
    step = table.dates[1] - table.dates[0] if len(table.dates) > 1 else pd.Timedelta("1h")
    before = table.dates[0] - pd.TimedeltaIndex([step] * missing) * np.arange(missing, 0, -1)

    def continued(part: Table | None) -> Table | None:
        if part is None:
            return None
        values = np.concatenate([np.repeat(part.values[:1], missing, axis=0), part.values])
        return Table(before.append(part.dates), part.ids, values)

    return replace(continued(table), past=continued(table.past), future=continued(table.future))
