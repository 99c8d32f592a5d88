"""Any bytes in the place of a data file: a clear error, or values in range."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from data_provider.anomaly import read_anomaly
from data_provider.m4 import read_m4
from data_provider.reader import read_panel
from data_provider.uea import read_ts
from tests.fuzz import examples
from utils.errors import UserError

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


def in_range(values: np.ndarray) -> bool:
    """Whether no value is larger than what is accepted, but missing ones."""
    return not (np.abs(values) > 1e30).any()


def read_or_refuse(read, folder: Path):
    """What is read; None for an error, which names the file."""
    try:
        return read()
    except UserError as error:
        assert str(folder) in str(error) and "\n" not in str(error), error
        return None


SERIES = st.one_of(
    st.tuples(st.just(read_m4), mutated(b'V1,V2,V3\n"H1",1,2.5\nH2,3,\nH3,4,NA\n')),
    st.tuples(st.just(read_ts), mutated(b"@classLabel true a b\n@data\n1,2:3,?:a\n4:.5:b\n")),
)


@examples(60)
@given(SERIES)
def test_m4_and_uea(tmp_path_factory, made):
    read, content = made
    path = tmp_path_factory.getbasetemp() / "x.ts"
    path.write_bytes(content)
    if file := read_or_refuse(lambda: read(path), path):
        assert len(file.series) > 0
        assert all(in_range(values) and len(values) for values in file.series)


def npy_bytes() -> bytes:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 2), }"
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(64)


ROWS = b"timestamp_(min),a,b\n0,1,2\n1,3,4\n"
LAYOUTS = {
    "MSL": ("MSL_train.npy", "MSL_test.npy"),
    "PSM": ("train.csv", "test.csv", "test_label.csv"),
    "SWaT": ("swat_train2.csv", "swat2.csv"),
}
ANOMALY_FILES = st.one_of(
    st.tuples(st.just("MSL"), mutated(npy_bytes())),
    st.tuples(st.sampled_from(["PSM", "SWaT"]), mutated(ROWS)),
)


@examples(60)
@given(ANOMALY_FILES)
@example(("MSL", npy_bytes()[:-2] + b"\xf0\x7f"))  # infinite
@example(("PSM", ROWS.replace(b"0,1,", b"0,1e31,")))
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_anomaly_detection(tmp_path_factory, made):
    data, content = made
    folder = tmp_path_factory.getbasetemp()
    for name in LAYOUTS[data]:
        (folder / name).write_bytes(content)
    np.save(folder / "MSL_test_label.npy", np.zeros(4))
    (folder / "test_label.csv").write_text("timestamp_(min),label\n0,0\n1,1\n")
    if tables := read_or_refuse(lambda: read_anomaly(data, folder), folder):
        assert tables.train.ndim == tables.test.ndim == 2
        assert in_range(tables.train)
        assert len(tables.labels) == len(tables.test)
