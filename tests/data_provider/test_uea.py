"""`.ts` files are validated, and become filled, scaled and padded series."""

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.uea import make_splits, read_pair, read_ts
from tests.conftest import refusal, says
from tests.data_provider import written

GOOD = """# a comment
@problemName Made Up
@timeStamps false
@dimensions 2
@classLabel true up down
@data
1,2,3:4,5,6:up
7,8,9:-1,.5,1e-1:down
"""
NAN = np.nan


def ts_text(series, labels, names) -> str:
    """Spell series `[length, channels]` as a file, `?` where they are missing."""
    rows = [
        ":".join(",".join("?" if np.isnan(v) else repr(float(v)) for v in one) for one in sample.T)
        for sample in series
    ]
    lines = [f"{row}:{names[label]}" for row, label in zip(rows, labels, strict=True)]
    return "\n".join([f"@classLabel true {' '.join(names)}", "@data", *lines, ""])


def made_up_series(rng, count: int) -> list[np.ndarray]:
    """Series of 3 channels and 4 to 9 steps with holes: the first channel grows from sample to
    sample, the second is constant."""
    series = []
    for i in range(count):
        sample = rng.normal([10 * i, 0.1, -3], [1, 0, 0.01], size=(rng.integers(4, 10), 3))
        sample[rng.random(sample.shape) < 0.2] = NAN
        series.append(sample)
    return series


@pytest.fixture
def folder(tmp_path):
    """Write both files of a set and return their folder."""

    def write(train: str = GOOD, test: str = GOOD):
        written(tmp_path, train, "Made_TRAIN.ts")
        return written(tmp_path, test, "Made_TEST.ts").parent

    return write


@pytest.fixture
def made_up(folder):
    """A folder with a set of 3 classes, and its series and labels: (training, test)."""
    rng = np.random.default_rng(0)
    parts = [(made_up_series(rng, count), np.arange(count) ** 2 % 3) for count in (40, 10)]
    parts[1][0][2][:, 2] = NAN  # a channel that one test sample lacks
    parts[1][0][3] = np.tile([-90.0, 0.1, -2.9], (13, 1))  # the longest series
    return folder(*(ts_text(*part, ["a", "b", "c"]) for part in parts)), *parts


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "\ufeff" + GOOD[GOOD.index("@classLabel") :],
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\n\n# another: comment\n  \n"),
        GOOD.replace("@dimensions", "@dimension").replace("@classLabel true", "@CLASSLABEL\tTrue"),
        GOOD.replace("@dimensions 2\n", "").replace("@data", "@DATA"),
        GOOD.replace(",", " ,\t").replace(":", " : ").replace("\n7", "\n  7 "),
        GOOD.replace("a comment", "Müller, Zürich").encode("latin-1"),
    ],
)
def test_spellings(tmp_path, text):
    file = read_ts(written(tmp_path, text))
    assert file.class_names == ["up", "down"]
    assert file.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(file.series[0], [[1, 4], [2, 5], [3, 6]])
    np.testing.assert_array_equal(file.series[1], [[7, -1], [8, 0.5], [9, 0.1]])
    assert file.series[0].dtype == np.float64


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1,?,3:4,5,6:up", [[1, 4], [NAN, 5], [3, 6]]),
        ("1,NaN,nan: ? ,5,6:up", [[1, NAN], [NAN, 5], [NAN, 6]]),
        ("1,2,3:4:up", [[1, 4], [2, NAN], [3, NAN]]),
        ("1,2::up", [[1, NAN], [2, NAN]]),
        ("?:?:up", [[NAN, NAN]]),
    ],
)
def test_missing_values_and_lengths(tmp_path, line, expected):
    file = read_ts(written(tmp_path, f"{GOOD}{line}\n"))
    np.testing.assert_array_equal(file.series[2], expected)
    assert file.lengths.tolist() == [3, 3, len(expected)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1:"),
        (GOOD.replace("true up down", "up down"), "line 5: no classes; write @classLabel true"),
        (GOOD.replace("up down", "up down up"), "duplicate class"),
        (GOOD.replace("@classLabel", "@targetLabel"), "no @classLabel"),
        (GOOD.replace("@dimensions 2", "@dimensions 3"), "line 7: 2 channels, but 3 in @dim"),
        (GOOD.replace(":down", ":Down"), "'Down'"),
        (GOOD.replace(":down", ""), "label '-1,.5,1e-1'"),
        (GOOD.replace("7,8,9:", ""), "line 8: 1 channels, but 2 in"),
        (GOOD.replace("5,6", "five,6"), "line 7, channel 2, value 2: 'five'"),
        (GOOD.replace("5,6", ",6"), "line 7, channel 2, value 2: ''"),
        (GOOD.replace("5,6", "5,-1e31"), "line 7, channel 2, value 3: '-1e31'"),
        (GOOD.replace("7,8,9", "x" * 500), "xxx…'"),
        (GOOD.replace("7,8,9:-1,.5,1e-1", ""), "line 8: an empty sample"),
        (GOOD.replace("1,2,3", "").replace("7,8,9", ""), "line 8: channel 1 is empty"),
        (GOOD[: GOOD.index("1,2,3")], "line 6: no sample"),
    ],
)
def test_refused(tmp_path, text, expected):
    message = refusal(read_ts, path := written(tmp_path, text))
    assert len(message) < len(str(path)) + 250
    says(message, str(path), expected)


def expected_x(series, trained_on) -> np.ndarray:
    """Interpolate, scale and pad the way pandas does it."""
    rows = pd.DataFrame(np.concatenate(trained_on))
    scale = rows.std(ddof=0).where(rows.max() > rows.min(), 1)
    x = np.zeros((len(series), 13, 3))
    for row, sample in zip(x, series, strict=True):
        filled = pd.DataFrame(sample).interpolate(limit_direction="both")
        row[: len(sample)] = ((filled - rows.mean()) / scale).fillna(0)
    return x


def test_held_out_validation(made_up):
    root, (series, labels), (test_series, _) = made_up
    splits = make_splits(read_pair(root), seed=1)
    # the first channel says which sample is which, however it is scaled
    growing = torch.cat([splits["train"].tensors[0], splits["val"].tensors[0]])[:, 0, 0]
    numbers = growing.argsort().argsort().numpy()
    kept, held = numbers[:32], numbers[32:]
    assert sorted(kept) == list(kept)
    assert sorted(held) == list(held)
    trained_on = [series[i] for i in kept]
    for part, samples in (
        (splits["train"], trained_on),
        (splits["val"], [series[i] for i in held]),
        (splits["test"], test_series),
    ):
        wanted = expected_x(samples, trained_on)
        np.testing.assert_allclose(part.tensors[0], wanted, rtol=1e-5, atol=1e-6)
    assert not splits["test"].tensors[0][2, :, 2].any()
    assert splits["test"].tensors[0][3, 12, 0] < -1
    np.testing.assert_array_equal(splits["train"].tensors[1], labels[kept])
    np.testing.assert_array_equal(splits["val"].tensors[1], labels[held])
    assert (np.abs(np.bincount(labels[held]) - np.bincount(labels) / 5) < 1).all()


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        ([0, 0], [0]),
        ([0, 0, 1], [0]),
        ([0, 0, 1, 1, 2, 2], [0, 1, 2]),
        ([0] * 20 + [1, 2, 2], [0] * 5),
    ],
)
def test_classes_of_few_samples(folder, labels, held):
    text = ts_text([np.full((1, 1), i) for i in range(len(labels))], labels, ["a", "b", "c"])
    for seed in range(5):
        splits = make_splits(read_pair(folder(text, text)), seed)
        assert splits["val"].tensors[1].tolist() == held
        assert sorted(splits["train"].tensors[1].tolist() + held) == labels
        assert set(splits["train"].tensors[1].tolist()) == set(labels)


def test_unobserved_in_training(folder):
    """Becomes 0, and so does a constant, however large."""
    train = "@classLabel true a\n@data\n1,3:?,?:a\n1,3:?,?:a\n"
    splits = make_splits(read_pair(folder(train, train.replace("?", "7"))), seed=0)
    for part, samples in ((splits["train"], 1), (splits["val"], 1), (splits["test"], 2)):
        np.testing.assert_array_equal(part.tensors[0], [[[-1, 0], [1, 0]]] * samples)
    text = ts_text([np.full((3, 1), 0.1 + 1e9)] * 7, [0] * 7, ["a"])
    assert make_splits(read_pair(folder(text, text)), seed=0)["train"].tensors[0].abs().max() < 1e-6


def test_channels_of_different_length(folder):
    long = [",".join(map(str, range(n))) for n in (300, 257, 256)]
    train = f"@classLabel true a\n@data\n{long[0]}:{long[1]}:a\n{long[2]}:{long[2]}:a\n"
    test = f"@classLabel true a\n@data\n{long[0]}:{long[0]}:a\n"
    files = read_pair(folder(train, test))
    assert [file.lengths.tolist() for file in files] == [[300, 256], [300]]
    assert np.isnan(files[0].series[0]).sum(axis=0).tolist() == [0, 43]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("@classLabel true up down\n@data\n1,2,3:up\n", "1 channels"),
        (GOOD.replace("down", "left"), "other classes"),
        (GOOD.replace("up down", "up down left"), "'left'"),
        (GOOD, "Made_TRAIN.ts: too small"),
    ],
)
def test_pairs_refused(folder, test, expected):
    root = folder(GOOD, test)
    assert expected in refusal(lambda: make_splits(read_pair(root), seed=0))


def test_files_to_find(folder):
    root = folder()
    written(root, "what some systems leave beside a file", "._Made_TRAIN.ts")
    assert [len(file.series) for file in read_pair(root)] == [2, 2]
    written(root, GOOD, "More_TEST.ts")
    says(refusal(read_pair, root), "2 files", "Made_TEST.ts, More_TEST.ts")
    (root / "Made_TRAIN.ts").unlink()
    says(refusal(read_pair, root), "no *_TRAIN.ts", "--root_path")
    assert "nowhere: no *_TRAIN.ts" in refusal(read_pair, root / "nowhere")
