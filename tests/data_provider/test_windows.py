"""Windows over scaled rows, and batches of them."""

import numpy as np
import pandas as pd
import pytest
import torch

from data_provider.batches import index_batches
from data_provider.windows import WindowDataset
from utils.timefeatures import time_features


def test_batch_is_slices_of_the_rows(splits):
    windows = splits().split("train")
    index = torch.tensor([0, 17, len(windows) - 1])
    (x, y), (x_marks, y_marks) = windows.batch(index), windows.batch_marks(index)
    for row, i in enumerate(index.tolist()):
        cut = i + 24
        assert torch.equal(x[row], windows.values[i:cut])
        assert torch.equal(y[row], windows.values[cut : cut + 8])
        assert torch.equal(x_marks[row], windows.marks[i:cut])
        assert torch.equal(y_marks[row], windows.marks[cut - 6 : cut + 8])
    assert cut + 8 == len(windows.values)


def test_windows_of_several_tables():
    """Each window has its own series' rows, dates and units."""
    dates = pd.date_range("2024-01-01", periods=5, freq="h")
    other = pd.date_range("2020-06-01", periods=4, freq="h")
    windows = WindowDataset(
        np.arange(9.0)[:, None],
        seq_len=2,
        pred_len=1,
        starts=[np.arange(3), np.arange(5, 7)],
        label_len=1,
        dates=dates.append(other),
        mean=torch.tensor([[10.0], [20.0]], dtype=torch.float64),
        scale=torch.tensor([[1.0], [2.0]], dtype=torch.float64),
        columns=["value"],
        names=["a", 7],
    )
    index = torch.arange(5)
    x, y = windows.batch(index)
    assert x[:, :, 0].tolist() == [[0, 1], [1, 2], [2, 3], [5, 6], [6, 7]]
    assert [windows.name(number, 0) for number in range(5)] == ["a"] * 3 + ["7"] * 2
    assert windows.unit is None
    units = windows.inverse_transform(y, index)[:, 0, 0]
    assert units.tolist() == [12, 13, 14, 2 * 7 + 20, 2 * 8 + 20]
    expected = time_features(other[:2], "h", "timeF").astype(np.float32)
    np.testing.assert_array_equal(windows.batch_marks(index)[0][3], expected)


@pytest.mark.parametrize(
    ("count", "size", "drop", "expected"),
    [(10, 4, False, [4, 4, 2]), (10, 4, True, [4, 4]), (3, 4, True, [3]), (8, 4, True, [4, 4])],
)
def test_index_batches(count, size, drop, expected):
    batches = index_batches(count, size, drop_last=drop)
    assert [len(batch) for batch in batches] == expected
    assert torch.cat(batches).tolist() == list(range(sum(expected)))


def test_shuffling_follows_its_seed():
    one, same, other = (torch.cat(index_batches(50, 7, "cpu", seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert sorted(one.tolist()) == list(range(50))
