"""Anomaly-detection sets: every file layout, every refusal, and windows that cover every row."""

import numpy as np
import pytest

from data_provider.anomaly import AnomalyTables, make_splits, read_anomaly
from tests.conftest import refusal, says

TRAIN = "timestamp_(min),a,b\n0,1,2\n1,3,4\n2,5,6\n"
TEST = "timestamp_(min),a,b\n3,1.5,2\n4,,4\n"
LABELS = "timestamp_(min),label\n3,0\n4,1\n"
SWAT = "FIT101, MV101,Normal/Attack\n2.5,1,0\n2.6,2,1\n"


def write_psm(folder, train=TRAIN, test=TEST, labels=LABELS):
    for name, text in (("train", train), ("test", test), ("test_label", labels)):
        (folder / f"{name}.csv").write_text(text)


def write_npy(folder, data="MSL", **arrays):
    """Write a set of 6 training and 4 test rows of 3 channels, but for the `arrays` given."""
    rng = np.random.default_rng(0)
    default = {
        "train": rng.standard_normal((6, 3)),
        "test": rng.standard_normal((4, 3)),
        "test_label": np.array([0, 1, 1, 0]),
    }
    for name, array in {**default, **arrays}.items():
        np.save(folder / f"{data}_{name}.npy", array)
    return {**default, **arrays}


def test_psm(tmp_path):
    """Channels go by their names."""
    test = "timestamp_(min),b,a\n3,2,1.5\n4,4,\n"
    write_psm(tmp_path, train=TRAIN.replace("5,6", ",6"), test=test)
    tables = read_anomaly("PSM", tmp_path)
    np.testing.assert_array_equal(tables.train, [[1, 2], [3, 4], [0, 6]])
    np.testing.assert_array_equal(tables.test, [[1.5, 2], [0, 4]])
    assert tables.labels.tolist() == [False, True]
    assert tables.filled == 2
    assert (tables.train.dtype, tables.labels.dtype) == (np.float64, bool)


def test_swat(tmp_path):
    (tmp_path / "swat_train2.csv").write_text("a,b,label\n1,2,7\n3,0,text\n")
    (tmp_path / "swat2.csv").write_text(SWAT)
    tables = read_anomaly("SWaT", tmp_path)
    np.testing.assert_array_equal(tables.train, [[1, 2], [3, 0]])  # whatever the training label
    np.testing.assert_array_equal(tables.test, [[2.5, 1], [2.6, 2]])
    assert tables.labels.tolist() == [False, True]
    assert tables.filled == 0
    (tmp_path / "swat_train2.csv").write_text("a,b,label\n1,2,7\n3,,text\n")
    assert "swat_train2.csv: column b, row 2 (line 3)" in refusal(read_anomaly, "SWaT", tmp_path)


@pytest.mark.parametrize("data", ["MSL", "SMAP", "SMD"])
@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32])
def test_npy(tmp_path, data, kind):
    flags = np.array([False, True, True, False])
    for labels in (flags, flags[:, None]):
        arrays = write_npy(tmp_path, data, test_label=labels.astype(kind))
        tables = read_anomaly(data, tmp_path)
        np.testing.assert_array_equal(tables.train, arrays["train"])
        np.testing.assert_array_equal(tables.test, arrays["test"])
        assert (tables.labels.dtype, tables.labels.tolist()) == (bool, flags.tolist())
        assert tables.filled == 0


def with_cell(value: float) -> np.ndarray:
    rows = np.zeros((4, 3))
    rows[2, 1] = value
    return rows


@pytest.mark.parametrize(
    ("data", "changed", "name", "expected"),
    [
        ("PSM", {"train": ""}, "train.csv", "empty"),
        ("PSM", {"train": TRAIN.replace("timestamp_(min)", "c")}, "train.csv", "first column is c"),
        ("PSM", {"train": TRAIN.replace("3,4", "3,4,9,9")}, "train.csv", "not a CSV table"),
        ("PSM", {"train": TRAIN.replace(",4", ",four")}, "train.csv", "row 2 (line 3): 'four' is"),
        ("PSM", {"test": TEST.replace(",4", ",False")}, "test.csv", "row 2 (line 3): 'False'"),
        ("PSM", {"test": TEST.replace("1.5", "inf")}, "test.csv", "column a, row 1"),
        ("PSM", {"test": "timestamp_(min),a\n3,1\n4,2\n"}, "test.csv", "1 channels"),
        ("PSM", {"labels": LABELS + "5,0\n"}, "test_label.csv", "3 labels"),
        ("PSM", {"labels": LABELS.replace("4,1", "4,x")}, "test_label.csv", "column label"),
        ("SWaT", {"test": SWAT.replace("2,1", "2,")}, "swat2.csv", "column Normal/Attack, row 2"),
        ("SWaT", {"test": SWAT.replace("2,1", "2,Attack")}, "swat2.csv", "'Attack'"),
        ("SWaT", {"test": "a,label\n1,0\n"}, "swat2.csv", "1 channels"),
        ("MSL", {"test": with_cell(1e31)}, "MSL_test.npy", "column 2, row 3: 1e+31 is not"),
        ("MSL", {"test": np.zeros((4, 3, 1))}, "MSL_test.npy", "3 dimensions"),
        ("MSL", {"test": np.zeros((4, 0))}, "MSL_test.npy", "no channels"),
        ("MSL", {"train": np.full((6, 3), "1")}, "MSL_train.npy", "<U1, not numbers"),
        ("MSL", {"train": np.full((6, 3), None)}, "MSL_train.npy", "Python objects"),
        ("MSL", {"test": np.zeros((4, 2))}, "MSL_test.npy", "2 channels"),
        ("MSL", {"test_label": np.zeros(5)}, "MSL_test_label.npy", "5 labels"),
        ("MSL", {"test_label": np.array([0, 1, 2, 0])}, "MSL_test_label.npy", "row 3: the label 2"),
        ("MSL", {"test_label": np.zeros((4, 2))}, "MSL_test_label.npy", "shape is (4, 2)"),
    ],
)
def test_refused(tmp_path, data, changed, name, expected):
    """`tests/fuzz` damages files at random."""
    if data == "SWaT":
        (tmp_path / "swat_train2.csv").write_text(SWAT)
        (tmp_path / "swat2.csv").write_text(changed["test"])
    else:
        (write_psm if data == "PSM" else write_npy)(tmp_path, **changed)
    says(refusal(read_anomaly, data, tmp_path), f"{tmp_path / name}: ", expected)


def test_no_file(tmp_path):
    write_psm(tmp_path)
    (tmp_path / "test.csv").unlink()
    message = refusal(read_anomaly, "PSM", tmp_path)
    assert f"{tmp_path / 'test.csv'}: no such file; check --root_path" in message


def numbered(rows: int, channels: int = 2) -> np.ndarray:
    return np.arange(rows * channels, dtype=float).reshape(rows, channels)


@pytest.mark.parametrize(
    ("train", "test", "expected"),
    [
        (100, 50, "SMAP, validation split: 5 rows are missing"),
        (20, 50, "SMAP, training split: 9 rows are missing"),
        (200, 20, "SMAP, test rows: 5 rows are missing"),
    ],
)
def test_too_few_rows(train, test, expected):
    tables = AnomalyTables(numbered(train), numbered(test), np.zeros(test, dtype=bool), filled=0)
    assert expected in refusal(make_splits, tables, "SMAP", 25)
