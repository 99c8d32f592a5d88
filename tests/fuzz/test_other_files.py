"""M4, UEA and anomaly-detection files: a clear error, or exactly their values."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from data_provider.anomaly import make_splits, point_scores, read_anomaly
from data_provider.m4 import M4Dataset, align, read_m4
from data_provider.uea import make_splits as make_uea_splits
from data_provider.uea import read_pair, read_ts
from tests.fuzz import examples
from tests.fuzz.test_csv_tables import mutated
from utils.errors import UserError

VALUES = st.one_of(
    st.floats(-1e30, 1e30), st.floats(-1e3, 1e3, width=32), st.integers(-99, 99).map(float)
)
WORDS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1)


def base(factory) -> Path:
    return factory.getbasetemp()


def refused(error: UserError, *paths: Path) -> None:
    """An error names the file."""
    assert any(str(path) in str(error) for path in paths), error


# M4

IDS = WORDS.map(lambda text: re.sub(r'[",]', "", text).strip()).filter(bool)
SERIES = st.lists(st.lists(VALUES, min_size=1, max_size=12), min_size=1, max_size=6)
NO_NUMBERS = st.sampled_from(["x", "inf", "nan", "1e31", "1 2", "--1", "1.2.3"])


@examples(40)
@given(
    SERIES,
    st.lists(IDS, min_size=6, max_size=6, unique=True),
    st.integers(0, 3),
    st.sampled_from(["", "NA", " ", "NaN"]),
    st.booleans(),
    st.none() | NO_NUMBERS,
)
def test_m4_files(tmp_path_factory, series, ids, padding, filler, quoted, wrong):
    width = max(map(len, series)) + padding
    lines = [["V1"] * (width + 1)]
    for name, values in zip(ids, series, strict=False):
        lines.append([name, *map(repr, values), *[filler] * (width - len(values))])
    if wrong is not None:
        lines[-1][1] = wrong
    if quoted:
        lines = [[f'"{cell}"' for cell in line] for line in lines]
    path = base(tmp_path_factory) / "Hourly-train.csv"
    path.write_text("\n".join(map(",".join, lines)), encoding="utf-8")
    try:
        file = read_m4(path)
    except UserError as error:
        refused(error, path)
        assert "column 2" in str(error)
        # a series of a single "nan" cell is one without values
        assert wrong is not None
        return
    assert wrong is None
    assert file.ids == ids[: len(series)]
    assert [values.tolist() for values in file.series] == series
    horizon = min(map(len, series))
    turned = type(file)(path, file.ids[::-1], file.series[::-1])
    expected = [values[:horizon] for values in series]
    assert align(turned, file, horizon).tolist() == expected


@examples(40)
@given(
    SERIES, st.integers(1, 15), st.integers(1, 9), st.sampled_from([1.5, 10.0]), st.integers(0, 9)
)
def test_m4_windows(series, seq_len, pred_len, history, seed):
    """Values count the steps, so that a window shows where it was cut."""
    numbered = [np.arange(1.0, len(values) + 1) + 100 * i for i, values in enumerate(series)]
    dataset = M4Dataset(numbered, seq_len, pred_len, history)
    torch.manual_seed(seed)
    index = torch.arange(len(series))
    last = dataset.last_windows(index)
    x, y, mask = dataset.batch(index)
    for i, values in enumerate(numbered):
        padded = np.concatenate([np.zeros(seq_len), values, np.zeros(pred_len)])
        inside = np.concatenate([np.zeros(seq_len), np.ones(len(values)), np.zeros(pred_len)])
        assert last[i, :, 0].tolist() == padded[len(values) : len(values) + seq_len].tolist()
        seen = x[i, x[i] != 0]
        cut = int(seen[-1]) - 100 * i  # the last value before it
        earliest = max(1, len(values) - int(history * pred_len))
        assert earliest <= cut <= max(len(values) - 1, earliest)
        assert x[i, :, 0].tolist() == padded[cut : cut + seq_len].tolist()
        after = slice(cut + seq_len, cut + seq_len + pred_len)
        assert y[i, :, 0].tolist() == padded[after].tolist()
        assert mask[i, :, 0].tolist() == inside[after].tolist()


@examples(40)
@given(mutated(b'V1,V2,V3\n"H1",1,2.5\nH2,3,\nH3,4,NA\n'))
def test_any_m4_bytes(tmp_path_factory, content):
    path = base(tmp_path_factory) / "x.csv"
    path.write_bytes(content)
    try:
        file = read_m4(path)
    except UserError as error:
        refused(error, path)
        return
    assert len(set(file.ids)) == len(file.ids) == len(file.series) > 0
    assert all((np.abs(values) <= 1e30).all() and len(values) for values in file.series)


# UEA

CLASSES = st.lists(
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=5),
    min_size=1, max_size=3, unique=True,
)  # fmt: skip


@st.composite
def ts_sets(draw):
    """Class names, and for both files a list of `(series [length, channels], class)`."""
    names, channels = draw(CLASSES), draw(st.integers(1, 3))
    numbers = draw(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=9))
    holes = draw(st.lists(st.booleans(), min_size=1, max_size=11))
    parts = []
    for least in (draw(st.integers(2, 12)), 1):
        part = []
        for i in range(least):
            length = draw(st.integers(1, 7))
            values = np.array([
                [numbers[(i * 7 + step * 3 + c) % len(numbers)] + step for c in range(channels)]
                for step in range(length)
            ])  # fmt: skip
            hole = np.array([
                [holes[(i + step * channels + c) % len(holes)] for c in range(channels)]
                for step in range(length)
            ])  # fmt: skip
            if not hole.all():
                values[hole] = np.nan
            part.append((values, draw(st.integers(0, len(names) - 1))))
        parts.append(part)
    return names, *parts


def ts_text(names, part, missing: str) -> str:
    lines = [
        ":".join(
            ",".join(missing if np.isnan(value) else repr(float(value)) for value in channel)
            for channel in values.T
        ) + f":{names[label]}"
        for values, label in part
    ]  # fmt: skip
    return "\n".join([f"@classLabel true {' '.join(names)}", "@data", *lines])


def interpolated(part) -> list[pd.DataFrame]:
    """Missing values filled: linear, the nearest value at the ends."""
    return [
        pd.DataFrame(values).interpolate("linear", limit_direction="both") for values, _ in part
    ]


@examples(40)
@given(ts_sets(), st.sampled_from(["?", "NaN"]), st.integers(0, 5))
def test_ts_files(tmp_path_factory, made, missing, seed):
    names, *parts = made
    # a last channel with the number of the sample shows which ones are held out
    train, test = (
        [
            (np.column_stack([values, np.full(len(values), float(i))]), label)
            for i, (values, label) in enumerate(part)
        ]
        for part in parts
    )
    folder = tmp_path_factory.mktemp("uea", numbered=True)
    for kind, part in (("TRAIN", train), ("TEST", test)):
        (folder / f"X_{kind}.ts").write_text(ts_text(names, part, missing), encoding="utf-8")
    for kind, part in (("TRAIN", train), ("TEST", test)):
        file = read_ts(folder / f"X_{kind}.ts")
        assert file.class_names == names
        assert file.labels.tolist() == [label for _, label in part]
        for ours, (values, _) in zip(file.series, part, strict=True):
            np.testing.assert_array_equal(ours, values)
    try:
        splits = make_uea_splits(read_pair(folder), seed)
    except UserError as error:
        assert max(np.bincount([label for _, label in train])) == 1, error
        return
    length = max(len(values) for values, _ in train + test)
    assert splits.train.x.shape[1:] == (length, train[0][0].shape[1])
    order = torch.cat([splits.train.x, splits.val.x])[:, 0, -1].argsort().argsort().tolist()
    trained, held_out = order[: len(splits.train)], order[len(splits.train) :]
    assert sorted(order) == list(range(len(train)))
    everything = np.concatenate([train[i][0] for i in trained])
    seen = ~np.isnan(everything).all(axis=0)
    with warnings.catch_warnings():  # a channel that is never observed
        warnings.simplefilter("ignore", RuntimeWarning)
        scaler = StandardScaler().fit(everything)
    mean = np.where(seen, scaler.mean_, 0)
    scale = np.where(seen, scaler.scale_, np.inf)
    for ours, part in (
        (splits.train, [train[i] for i in trained]),
        (splits.val, [train[i] for i in held_out]),
        (splits.test, test),
    ):
        assert ours.y.tolist() == [label for _, label in part]
        for x, values in zip(ours.x.numpy(), interpolated(part), strict=True):
            expected = (values.fillna(pd.Series(mean)).to_numpy() - mean) / scale
            np.testing.assert_allclose(x[: len(values)], expected, rtol=1e-4, atol=1e-4)
            assert (x[len(values) :] == 0).all()


@examples(40)
@given(mutated(b"@dimensions 2\n@classLabel true up down\n@data\n1,2:3,?:up\n4:-1e3,.5:down\n"))
def test_any_ts_bytes(tmp_path_factory, content):
    path = base(tmp_path_factory) / "x.ts"
    path.write_bytes(content)
    try:
        file = read_ts(path)
    except UserError as error:
        refused(error, path)
        return
    assert len(file.series) == len(file.labels) > 0
    for values in file.series:
        assert values.shape[1] == file.n_channels
        assert not (np.abs(values) > 1e30).any()


# Anomaly detection


@st.composite
def anomaly_sets(draw):
    """Training rows, test rows and their labels, and a window length."""
    channels = draw(st.integers(1, 3))
    rows = [draw(st.integers(1, 40)), draw(st.integers(1, 20))]
    pool = draw(st.lists(VALUES, min_size=2, max_size=9))
    train, test = (
        np.array([[pool[(5 * i + 3 * c) % len(pool)] for c in range(channels)] for i in range(n)])
        for n in rows
    )
    flags = draw(st.lists(st.booleans(), min_size=1, max_size=7))
    labels = np.array([flags[i % len(flags)] for i in range(rows[1])])
    return train, test, labels, draw(st.integers(1, 8))


def write_set(folder: Path, data: str, train, test, labels, missing: bool) -> int:
    """Write a set in its own layout; returns the number of missing cells."""
    if data in ("MSL", "SMD"):
        for name, array in (("train", train), ("test", test), ("test_label", labels)):
            np.save(folder / f"{data}_{name}.npy", array)
        return 0
    names = [f"c{i}" for i in range(train.shape[1])]
    frames = [pd.DataFrame(array, columns=names) for array in (train, test)]
    if missing and len(train) > 1:
        frames[0].iloc[-1, 0] = train[-1, 0] = np.nan
    if data == "PSM":
        flags = pd.DataFrame({"label": labels.astype(int)})
        for name, frame in zip(("train", "test", "test_label"), (*frames, flags), strict=True):
            frame.insert(0, "timestamp_(min)", range(len(frame)))
            frame.to_csv(folder / f"{name}.csv", index=False)
    else:
        for name, frame, flag in (("swat_train2", frames[0], "x"), ("swat2", frames[1], labels)):
            frame["Normal/Attack"] = flag if isinstance(flag, str) else flag.astype(int)
            frame.to_csv(folder / f"{name}.csv", index=False)
    return int(np.isnan(train).sum())


@examples(30)
@given(anomaly_sets(), st.sampled_from(["MSL", "SMD", "PSM", "SWaT"]), st.booleans())
def test_anomaly_sets(tmp_path_factory, made, data, missing):
    train, test, labels, seq_len = made
    folder = tmp_path_factory.mktemp("anomaly", numbered=True)
    missing = write_set(folder, data, train, test, labels, missing)
    if missing and data == "SWaT":
        with pytest.raises(UserError, match="column c0, row"):
            read_anomaly(data, folder)
        return
    tables = read_anomaly(data, folder)
    assert tables.filled == missing
    train = np.nan_to_num(train)
    np.testing.assert_allclose(tables.train, train, rtol=1e-15, atol=1e-300)
    np.testing.assert_allclose(tables.test, test, rtol=1e-15, atol=1e-300)
    np.testing.assert_array_equal(tables.labels, labels)
    scaler = StandardScaler().fit(tables.train)
    rows = scaler.transform(tables.train).astype(np.float32)
    test_rows = scaler.transform(tables.test).astype(np.float32)
    cut = int(len(rows) * 0.8)
    expected = {
        "train": (rows[:cut], 100 if data == "SMD" else 1),
        "val": (rows[cut:], seq_len),
        "train_scored": (rows, seq_len),
        "test": (test_rows, seq_len),
    }
    short = [name for name, (values, _) in expected.items() if len(values) < seq_len]
    try:
        splits = make_splits(tables, data, seq_len)
    except UserError as error:
        assert short, error
        return
    assert not short
    for name, (values, step) in expected.items():
        starts = list(range(0, len(values) - seq_len + 1, step))
        if starts[-1] + seq_len < len(values):
            starts.append(len(values) - seq_len)
        windows = getattr(splits, name)
        (x,) = windows.batch(torch.arange(len(windows)))
        np.testing.assert_array_equal(x, [values[start : start + seq_len] for start in starts])
    # every row is scored once, with its own score
    place = torch.arange(len(test_rows))
    scores = torch.stack([place[int(s) : int(s) + seq_len] for s in splits.test.starts])
    assert point_scores(splits.test, scores).tolist() == place.tolist()


def npy_bytes() -> bytes:
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 2), }"
    text = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(64)


@examples(40)
@given(mutated(npy_bytes()))
@example(npy_bytes()[:-2] + b"\xf0\x7f")  # infinite
def test_any_npy_bytes(tmp_path_factory, content):
    folder = base(tmp_path_factory)
    for name in ("train", "test"):
        (folder / f"MSL_{name}.npy").write_bytes(content)
    np.save(folder / "MSL_test_label.npy", np.zeros(4))
    try:
        tables = read_anomaly("MSL", folder)
    except UserError as error:
        refused(error, *folder.glob("MSL_*.npy"))
        return
    assert tables.train.ndim == tables.test.ndim == 2
    assert (np.abs(tables.train) <= 1e30).all()


@examples(30)
@given(mutated(b"timestamp_(min),a,b\n0,1,2\n1,3,4\n"), st.sampled_from(["PSM", "SWaT"]))
@example(b"timestamp_(min),a,b\n0,1e31,2\n1,3,4\n", "PSM")
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_any_anomaly_csv_bytes(tmp_path_factory, content, data):
    folder = base(tmp_path_factory)
    names = ("train", "test", "test_label") if data == "PSM" else ("swat_train2", "swat2")
    for name in names:
        (folder / f"{name}.csv").write_bytes(content)
    (folder / "test_label.csv").write_text("timestamp_(min),label\n0,0\n1,1\n")
    try:
        tables = read_anomaly(data, folder)
    except UserError as error:
        refused(error, *folder.glob("*.csv"))
        return
    assert (np.abs(tables.train) <= 1e30).all()
    assert len(tables.labels) == len(tables.test)
