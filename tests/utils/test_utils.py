"""Metrics, atomic writes, streamed arrays, and files of word embeddings."""

import os
import stat

import numpy as np
import pytest
import torch

from utils.errors import UserError
from utils.files import NpyWriter, whole_file
from utils.machine import usable_cores
from utils.metrics import ErrorSums, PlacedErrorSums
from utils.word_embeddings import load_word_embeddings


@pytest.mark.parametrize("masked", [False, True])
def test_errors_by_step_and_channel_of_several_batches(masked):
    rng = np.random.default_rng(0)
    true, pred = rng.standard_normal((2, 50, 4, 3)).astype(np.float32)
    scored = rng.random(true.shape) < 0.3
    pred[~scored & masked] = np.nan  # never read
    errors, plain = PlacedErrorSums(), ErrorSums()
    for part in (slice(0, 20), slice(20, 50)):
        given = [torch.tensor(array[part]) for array in (pred, true, scored)]
        for sums in (errors, plain):
            sums.add(*given[: 3 if masked else 2])
    assert errors.metrics() == plain.metrics()
    error = np.where(scored | (not masked), pred - true, np.nan).astype(np.float64)
    for name, values in {"mse": error**2, "mae": np.abs(error)}.items():
        by_channel = [means[name] for means in errors.by_channel(["a", "b", "c"]).values()]
        np.testing.assert_allclose(errors.by_step()[name], np.nanmean(values, axis=(0, 2)))
        np.testing.assert_allclose(by_channel, np.nanmean(values, axis=(0, 1)))


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


def test_npy_writer(tmp_path):
    array = np.random.default_rng(0).standard_normal((7, 3, 2)).astype(np.float32)
    with (tmp_path / "x.npy").open("wb") as file:
        writer = NpyWriter(file, array.shape)
        for part in (array[:4], array[4:].transpose(0, 2, 1).copy().transpose(0, 2, 1)):
            writer.write(torch.from_numpy(part))
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), array)


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


def test_usable_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    nothing = tmp_path / "nothing"
    assert usable_cores(nothing, nothing) == 4
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        place = tmp_path / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(siblings + "\n")
    assert usable_cores(tmp_path, nothing) == 2  # two hardware threads a core
    quota = tmp_path / "cpu.max"
    for text, cores in (("100000 100000", 1), ("50000 100000", 1), ("max 100000", 2)):
        quota.write_text(text)
        assert usable_cores(tmp_path, quota) == cores
