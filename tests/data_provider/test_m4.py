"""The files of the M4 competition and windows of their series."""

import numpy as np
import pytest
import torch

from data_provider.m4 import PATTERNS, M4Dataset, find_file, read_m4, read_pair
from utils.errors import UserError

SERIES = [np.arange(1.0, 31.0), np.arange(101.0, 106.0), np.arange(1001.0, 1013.0)]


def written(tmp_path, text: str):
    path = tmp_path / "x.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "V1,V2,V3,V4\nH1,1,2.5,3\nH2,4,5,\n",
        '"V1","V2","V3","V4"\n"H1","1","2.5","3"\n"H2","4","5",""\n',
        "id,a,b,c\r\nH1,1,2.5,3\r\nH2,4,5,NA\r\n",
        "V1,V2,V3,V4\nH1,1,2.5,3,,,\n\nH2, 4 , 5 ,NA,NA,,\n",
    ],
)
def test_spellings(tmp_path, text):
    file = read_m4(written(tmp_path, text))
    assert file.ids == ["H1", "H2"]
    assert [values.tolist() for values in file.series] == [[1, 2.5, 3], [4, 5]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no series"),
        ("V1,V2\n", "no series"),
        ("V1,V2,V3\nH1,1,x\n", "line 2 .series H1., column 3: 'x' is not a number"),
        ("V1,V2,V3,V4\nH1,1,2,3\nH2,1,,3\n", "line 3 .series H2., column 3: a missing value"),
        ("V1,V2,V3\nH1,1,inf\n", "'inf'"),
        ("V1,V2,V3\nH1,1,-1e31\n", "column 3: '-1e31' is not a number up to 1e.30"),
        ("V1,V2\nH1,1\nH2,1\nH1,2\n", "line 4: duplicate series H1"),
        ("V1,V2,V3\nH1,,\n", "missing value"),
    ],
)
def test_refused(tmp_path, text, expected):
    with pytest.raises(UserError, match=expected):
        read_m4(written(tmp_path, text))


def test_official_files(real_data):
    train, targets = read_pair(real_data / "m4", "Hourly")
    assert len(train.ids) == 414
    assert targets.shape == (414, 48)
    assert train.ids[0] == "H1"
    assert train.series[0][:3].tolist() == [605, 586, 586]
    assert {len(values) for values in train.series} == {700, 960}


def test_files_side_by_side(tmp_path):
    flat = tmp_path / "Hourly-train.csv"
    flat.write_text("V1,V2\nH1,1\n")
    assert find_file(tmp_path, "train", "Hourly") == flat
    with pytest.raises(UserError, match=r"neither Test/Hourly-test\.csv nor"):
        find_file(tmp_path, "test", "Hourly")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("V1,V2\nH1,1\n", "series H1 has 1 values, not 48"),
        ("V1,V2\nH7,1\nH8,2\n", "different ids"),
    ],
)
def test_mismatched_test_file(tmp_path, test, expected):
    (tmp_path / "Hourly-train.csv").write_text("V1,V2\nH1,1\n")
    (tmp_path / "Hourly-test.csv").write_text(test)
    with pytest.raises(UserError, match=expected):
        read_pair(tmp_path, "Hourly")


def test_monthly_size(tmp_path):
    """48,000 series of 216 values on average in lines of 2,795 cells."""
    rng = np.random.default_rng(0)
    pool = [f"{value:.1f}" for value in rng.uniform(100, 9000, 4000)]
    path = tmp_path / "Monthly-train.csv"
    with path.open("w") as file:
        file.write(",".join(f"V{i}" for i in range(1, 2796)) + "\n")
        for number in range(4800):  # a tenth, to keep the test short
            start, length = number % 3000, 60 + number * 7 % 312
            cells = pool[start : start + length]
            file.write(f"M{number}," + ",".join(cells) + "," * (2794 - len(cells)) + "\n")
    assert len(read_m4(path).series) == 4800


def naive_window(values: np.ndarray, cut: int, back: int, ahead: int):
    """One expected window."""
    x, y, mask = np.zeros(back), np.zeros(ahead), np.zeros(ahead)
    seen, left = values[max(0, cut - back) : cut], values[cut : cut + ahead]
    x[back - len(seen) :] = seen
    y[: len(left)], mask[: len(left)] = left, 1
    return x, y, mask


def test_windows_are_cut_within_the_history():
    dataset = M4Dataset(SERIES, seq_len=8, pred_len=4, history=1.5)
    torch.manual_seed(0)
    cuts = [set(), set(), set()]
    for _ in range(200):
        x, y, mask = dataset.batch(torch.arange(3))
        assert x.shape == (3, 8, 1)
        assert y.shape == mask.shape == (3, 4, 1)
        for i, values in enumerate(SERIES):
            cut = int(np.searchsorted(values, y[i, 0, 0].item()))
            expected = naive_window(values, cut, 8, 4)
            for ours, theirs in zip((x, y, mask), expected, strict=True):
                assert ours[i, :, 0].tolist() == theirs.tolist()
            cuts[i].add(cut)
    # the last 1.5 horizons, but from the first value on
    assert cuts == [set(range(24, 30)), set(range(1, 5)), set(range(6, 12))]


def test_windows_at_given_cuts():
    dataset = M4Dataset(SERIES, seq_len=8, pred_len=4, history=1.5)
    index, cut = torch.tensor([2, 0, 1]), torch.tensor([3, 29, 5])
    parts = dataset.windows(index, cut)
    for row, (i, where) in enumerate(zip(index.tolist(), cut.tolist(), strict=True)):
        for ours, theirs in zip(parts, naive_window(SERIES[i], where, 8, 4), strict=True):
            assert ours[row, :, 0].tolist() == theirs.tolist()


def test_no_target_within_the_label_length():
    plain, published = (
        M4Dataset(SERIES, seq_len=8, pred_len=4, history=1.5, label_len=n) for n in (0, 4)
    )
    index = torch.tensor([0, 1, 2]).repeat(50)
    torch.manual_seed(0)
    x, y, mask = plain.batch(index)
    torch.manual_seed(0)
    same_x, other_y, other_mask = published.batch(index)
    assert torch.equal(x, same_x)
    # the second series has 5 values: a cut after 4 of them leaves a target, an earlier one none
    last = x[:, -1:]
    near = (last > 100) & (last < 104)
    assert set(last[near].tolist()) == {101, 102, 103}
    assert 104 in last
    assert torch.equal(other_y, torch.where(near, 0, y))
    assert torch.equal(other_mask, torch.where(near, 0, mask))


def test_last_windows():
    dataset = M4Dataset(SERIES, seq_len=8, pred_len=4, history=1.5)
    x = dataset.last_windows(torch.tensor([1, 0]))
    assert x[0, :, 0].tolist() == [0, 0, 0, 101, 102, 103, 104, 105]
    assert x[1, :, 0].tolist() == list(range(23, 31))


def test_patterns():
    horizons = {name: pattern.horizon for name, pattern in PATTERNS.items()}
    assert horizons == {
        "Yearly": 6, "Quarterly": 8, "Monthly": 18, "Weekly": 13, "Daily": 14, "Hourly": 48,
    }  # fmt: skip
