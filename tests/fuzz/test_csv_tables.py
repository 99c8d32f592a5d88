"""Any table gives a clear error, or windows that are exact slices of its values."""

import csv
import io
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from data_provider.files import read_file
from data_provider.reader import read_panel
from data_provider.splits import (
    NoWindowError,
    Splits,
    chosen_series,
    read_data,
    splits_of,
)
from data_provider.timestamps import read_times
from tests.fuzz import examples
from utils.errors import UserError
from utils.timefeatures import time_features

GOOD_NUMBERS = st.one_of(
    st.floats(-1e30, 1e30).map(repr),
    st.floats(-1e3, 1e3, width=32).map(repr),
    st.integers(-(10**29), 10**29).map(str),
    st.sampled_from(["0", "-0.0", "1e5", "+3", "1E-300", " 7", "99999999999999999999"]),
)
BAD_CELLS = st.sampled_from(
    ["", "NA", "nan", "null", "inf", "-Infinity", "x", "1,5", "1 2", "1e31", "-1e300", "True",
     "2020-01-01", "--1", "1.2.3", "é", "=1+1", '"']
)  # fmt: skip
NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
    st.sampled_from(["OT", "date", " date", "a", " a ", "", "NA", "null", "0", "1.1", "a,b", 'q"',
                     "two\nlines", "é", "$x$", "Unnamed: 0", "Date"]),
)  # fmt: skip
STEPS = st.sampled_from(["h", "15min", "D", "B", "MS", "W", "s", "YS", "3h"])
FORMATS = st.sampled_from(
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y/%m/%d %H:%M", "%Y-%m-%d %H:%M:%S.%f",
     "%Y-%m-%d %H:%M:%S+02:00"]
)  # fmt: skip


@st.composite
def tables(draw):
    """A header, rows of text, and whether a CSV of them is valid."""
    count = draw(st.integers(30, 80) | st.integers(1, 80))
    names = draw(st.lists(NAMES, min_size=0, max_size=4)) + draw(
        st.sampled_from([["OT"], ["OT"], ["OT", "b"], []])
    )
    names = list(dict.fromkeys(names)) if draw(st.integers(0, 9)) else names
    names.insert(draw(st.integers(0, len(names))), "date")
    dates = pd.date_range("2016-07-01", periods=count, freq=draw(STEPS))
    dates = dates.strftime(draw(FORMATS)).tolist()
    cells = draw(st.lists(GOOD_NUMBERS, min_size=1, max_size=7))
    rows = [
        [dates[i] if name == "date" else cells[(i * 5 + j * 3) % len(cells)]
         for j, name in enumerate(names)]
        for i in range(count)
    ]  # fmt: skip
    stripped = [name.strip() for name in names]
    good = len(names) > 1 and "" not in stripped and len(set(stripped)) == len(names)
    good &= len(set(dates)) == count  # without seconds, some repeat
    if not draw(st.integers(0, 4)):
        row, column = draw(st.integers(0, count - 1)), draw(st.integers(0, len(names) - 1))
        rows[row][column] = draw(BAD_CELLS)
        good = False if names[column] != "date" else None  # "2020-01-01" is a date
    return names, rows, good


def written(path: Path, header, rows, quoting=csv.QUOTE_MINIMAL, end="\n", bom="") -> Path:
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes((bom + text.getvalue()).encode())
    return path


OPTIONS = st.fixed_dictionaries(
    {
        "features": st.sampled_from(["M", "S", "MS"]),
        "seq_len": st.integers(1, 8) | st.integers(1, 20),
        "label_len": st.integers(0, 25),
        "pred_len": st.integers(0, 4) | st.integers(0, 12),
        "percent": st.integers(1, 100),
        "embed": st.sampled_from(["timeF", "fixed"]),
        "freq": st.sampled_from(["h", "t", "d", "15min"]),
    }
)


def splits_of_run(path: Path, **options) -> Splits:
    """The splits of a run."""
    defaults = {"split": None, "protocol": "sound", "given": ["target"]}
    args = Namespace(**defaults, **options, root_path=str(path.parent), data_path=path.name)
    panel = read_data(args)
    return splits_of(panel.only(chosen_series(panel, args)), args)


def plain_windows(source: Splits, options: dict, target: str) -> dict[str, list]:
    """The expected splits: values of the file, scaled by scikit-learn, sliced in a loop.

    Returns:
        By split a list of `(x, y)`.
    """
    (table,) = source.panel.tables
    with source.panel.source.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = [row for row in csv.reader(file) if row]
    header = [name.strip() for name in header]
    rows.sort(key=lambda row: pd.Timestamp(row[header.index("date")]))
    columns = [name for name in header if name != "date"]
    if options["features"] == "S":
        columns = [target]
    else:
        columns.remove(target)
        columns.append(target)
    assert source.columns == columns
    expected = [[float(row[header.index(name)]) for name in columns] for row in rows]
    np.testing.assert_allclose(table.values, expected, rtol=1e-15, atol=1e-300)
    values = table.values.copy("K")  # sums round alike in the same memory layout
    n, look_back, horizon = len(values), options["seq_len"], options["pred_len"]
    n_train, n_test = int(n * 0.7), int(n * 0.2)
    n_val = n - n_train - n_test
    scaled = StandardScaler().fit(values[: max(n_train, 1)]).transform(values).astype(np.float32)
    few_shot = (n_train - look_back) * options["percent"] // 100 + look_back
    spans = {
        "train": (0, few_shot),
        "val": (n_train - look_back, n_train + n_val),
        "test": (n_train + n_val - look_back, n_train + n_val + n_test),
    }
    splits = {}
    for flag, (start, stop) in spans.items():
        windows = []
        for first in range(start, stop - look_back - horizon + 1) if start >= 0 else ():
            cut = first + look_back
            windows.append((scaled[first:cut], scaled[cut : cut + horizon]))
        splits[flag] = windows
    return splits


def check_split(source: Splits, flag: str, expected: list, options: dict) -> None:
    """Compare a split with the expected windows."""
    if not expected:
        with pytest.raises(NoWindowError) as caught:
            source.split(flag)
        assert "\n" not in str(caught.value)
        return
    windows = source.split(flag)
    assert len(windows) == len(expected)
    x, y = windows.batch(torch.arange(len(windows)))
    for i, (expected_x, expected_y) in enumerate(expected):
        np.testing.assert_array_equal(x[i], expected_x)
        np.testing.assert_array_equal(y[i], expected_y)
    start, cut = source.borders[0][flag].start, options["seq_len"]
    marks = time_features(source.panel.tables[0].dates, options["freq"], options["embed"])
    marks = marks[start : start + cut + options["pred_len"]].astype(np.float32)
    x_marks, y_marks = windows.batch_marks(torch.tensor([0]))
    np.testing.assert_array_equal(x_marks[0], marks[:cut])
    np.testing.assert_array_equal(y_marks[0], marks[cut - min(options["label_len"], cut) :])


@examples(50)
@given(
    tables(),
    OPTIONS,
    st.sampled_from(["OT", "OT", "OT", "OT", "a", "date", "none", ""]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
)
def test_windows_are_slices(tmp_path_factory, table, options, target, quoting, end, bom):
    header, rows, good = table
    path = written(tmp_path_factory.getbasetemp() / "x.csv", header, rows, quoting, end, bom)
    names = [name.strip() for name in header]
    known = target != "date" and target in names
    try:
        source = splits_of_run(path, **options, target=target, data="custom")
    except UserError as error:
        assert str(path) in str(error)
        assert good is not True or not known, error
        return
    assert good is not False
    assert known
    for flag, expected in plain_windows(source, options, target).items():
        check_split(source, flag, expected, options)


BASE = (
    b"date,a,OT\n2020-01-01 00:00,1,2\n2020-01-01 01:00,3.5,-4\n2020-01-01 02:00,5e3,6\n"
    b"2020-01-01 03:00,7,8\n"
)


def mutated(base: bytes):
    """A file with some pieces replaced or removed."""
    pieces = st.one_of(
        st.binary(max_size=4),
        st.sampled_from(
            [b",", b"\n", b'"', b"\r", b";", b"\t", b"date", b"nan", b"1e999", b"\xff", b"\0",
             b"2020-13-01", b"9999-12-31", b"0001-01-01", b"-1", b"12", b"20200101", b"now",
             b"10000-01-01", b"2020-01-01T00:00+02:00", b"1e400", b"99999999999999999999"]
        ),
    )  # fmt: skip
    edit = st.tuples(st.integers(0, len(base)), st.integers(0, 20), pieces)

    def apply(edits) -> bytes:
        content = base
        for start, length, piece in edits:
            content = content[:start] + piece + content[start + length :]
        return content

    return st.lists(edit, min_size=1, max_size=4).map(apply)


@examples(60)
@given(mutated(BASE))
def test_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "x.csv"
    path.write_bytes(content)
    try:
        panel = read_panel(path)
        (table,) = panel.tables
        future = panel.future(table, 5)
    except UserError as error:
        assert str(path) in str(error)
        return
    assert table.values.shape == (len(table.dates), len(table.ids))
    assert (np.abs(table.values) <= 1e30).all()
    assert (np.diff(table.dates.asi8) > 0).all()
    assert len(set(panel.columns)) == len(panel.columns) > 0
    assert len(future) == 5
    assert future[0] > table.dates[-1]
    assert future.is_monotonic_increasing


CALENDARS = st.sampled_from(["D", "2D", "7D", "W", "B", "MS", "ME", "QS", "YS", "h", "6h", "12h"])


@examples(40)
@given(CALENDARS, st.integers(0, 150), st.integers(1, 20), st.booleans(), st.randoms())
def test_days_and_months_are_never_mixed_up(freq, start, count, dayfirst, random):
    """Timestamps in any order, with a gap, are read as written, or else refused."""
    dates = pd.date_range("2020-01-01", periods=start + count, freq=freq)[start:].tolist()
    del dates[count // 2 : count // 2 + (count > 8)]
    random.shuffle(dates)
    text = pd.Series(dates).dt.strftime("%d.%m.%Y %H:%M" if dayfirst else "%m.%d.%Y %H:%M")
    try:
        times = read_times(text)
    except UserError as error:
        assert "give --dayfirst" in str(error)
        times = read_times(text, dayfirst)
    assert times.dates.tolist() == dates


@examples(40)
@given(
    st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=6),
    st.integers(0, 3),
    st.sampled_from([(",", "."), (",", ""), (".", ","), (".", "")]),
    st.sampled_from([";", "\t"]),
)
def test_numbers_are_never_mixed_up(tmp_path_factory, numbers, places, signs, sep):
    """Numbers with decimals and thousands are read as written, or else refused."""
    decimal, thousands = signs
    values = [number / 10**places for number in numbers]
    cells = [
        f"{value:,.{places}f}".translate({ord(","): thousands, ord("."): decimal})
        for value in values
    ]
    path = tmp_path_factory.getbasetemp() / "x.csv"
    lines = [f"{day}{sep}{cell}\n" for day, cell in enumerate(cells)]
    path.write_text(f"date{sep}a\n{''.join(lines)}")
    try:
        frame = read_file(path)
    except UserError as error:
        assert any(repr(cell) in str(error) for cell in cells)
        frame = read_file(path, decimal=decimal, thousands=thousands or None)
    np.testing.assert_array_equal(frame["a"].astype(float), values)
