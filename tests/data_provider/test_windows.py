"""Windows over scaled rows, and batches of them."""

import pytest
import torch

from data_provider.batches import index_batches


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


@pytest.mark.parametrize(
    ("count", "size", "drop", "expected"),
    [(10, 4, False, [4, 4, 2]), (10, 4, True, [4, 4]), (3, 4, True, [3]), (8, 4, True, [4, 4])],
)
def test_index_batches(count, size, drop, expected):
    batches = index_batches(count, size, drop_last=drop)
    assert [len(batch) for batch in batches] == expected
    assert torch.cat(batches).tolist() == list(range(sum(expected)))
