"""Metrics, atomic writes, streamed arrays, and files of word embeddings."""

import os
import stat

import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.files import whole_file
from utils.word_embeddings import load_word_embeddings


def test_whole_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / "a" / "x"
    with whole_file(path) as part:
        part.write_text("one")
    with pytest.raises(RuntimeError), whole_file(path) as part:
        part.write_text("tw")
        raise RuntimeError
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_whole_file_reaches_the_disk(tmp_path, monkeypatch):
    """File before name, the earlier one kept until then, and the folder behind."""
    path, earlier = tmp_path / "state", tmp_path / "state.previous"
    path.write_text("earlier")
    synced, plain = [], os.fsync

    def fsync(handle):
        names = sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("."))
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), names))
        plain(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with whole_file(path, earlier) as part:
        part.write_text("new")
    assert synced == [(False, ["state"]), (True, ["state", "state.previous"])]
    assert (path.read_text(), earlier.read_text()) == ("new", "earlier")


def test_formats_of_word_embeddings(tmp_path):
    embeddings = torch.randn(24, 5)
    torch.save(embeddings, tmp_path / "tensor.pt")
    torch.save(embeddings.double().numpy(), tmp_path / "array.pt")
    np.save(tmp_path / "array.npy", embeddings.numpy())
    for path in tmp_path.iterdir():
        loaded = load_word_embeddings(path, 24)
        assert loaded.dtype == torch.float32
        torch.testing.assert_close(loaded, embeddings)


def test_word_embeddings_of_the_authors_script(real_data):
    embeddings = load_word_embeddings(real_data / "wte_pca_500_legacy.pt", 768)
    np.testing.assert_array_equal(embeddings.numpy(), np.load(real_data / "wte_pca_500.npy"))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (torch.randn(500, 768), r"\(500, 768\).*\(768, components\)"),
        (torch.randn(768), r"\(768,\).*\(768, components\)"),
        (torch.ones(768, 5, dtype=torch.long), "int64"),
        (torch.full((768, 5), torch.nan), "non-finite"),
        ({"words": torch.randn(768, 5)}, "refused"),
    ],
)
def test_invalid_word_embeddings(tmp_path, content, expected):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(UserError, match=expected):
        load_word_embeddings(tmp_path / "w.pt", 768)
