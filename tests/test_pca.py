"""`pca.py` against scikit-learn, and as a command."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from pca import main, principal_word_embeddings


@pytest.mark.parametrize(("vocabulary", "width", "components"), [(300, 32, 20), (40, 64, 39)])
def test_scores_are_scikit_learns(vocabulary, width, components):
    rng = np.random.default_rng(0)
    spread = np.geomspace(3, 1e-3, width)
    table = rng.standard_normal((vocabulary, width)) * spread + rng.standard_normal(width)
    ours = principal_word_embeddings(torch.tensor(table), components).numpy()
    theirs = PCA(components, svd_solver="full").fit_transform(table.T)
    assert (ours[np.abs(ours).argmax(axis=0), np.arange(components)] > 0).all()  # the signs
    signs = np.sign((ours * theirs).sum(axis=0))
    np.testing.assert_allclose(ours, theirs * signs, rtol=1e-5, atol=1e-5 * np.abs(theirs).max())


def test_randomized_solver():
    """Near the exact one where the variances fall quickly; the same for the same seed."""
    rng = np.random.default_rng(0)
    table = torch.tensor(rng.standard_normal((300, 32)) * np.geomspace(3, 1e-3, 32))
    words = principal_word_embeddings(table, 6, "randomized", seed=1)
    assert torch.equal(words, principal_word_embeddings(table, 6, "randomized", seed=1))
    exact = principal_word_embeddings(table, 6)
    torch.testing.assert_close(words.abs(), exact.abs(), rtol=1e-2, atol=1e-2)


def test_command(small_gpt2, workdir, capsys):
    assert main(["--llm", str(small_gpt2), "--n_components", "12", "--output", "w.pt"]) == 0
    words = torch.load("w.pt", weights_only=True)
    assert words.shape == (24, 12)
    assert words.dtype == torch.float32
    assert words.is_contiguous()
    assert torch.equal(words, torch.load(small_gpt2 / "words.pt", weights_only=True))
    assert "(24, 12)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", ["--n_components 500", "--llm ./nowhere", "--output /dev/null/w.pt"]
)
def test_command_refuses_in_one_line(small_gpt2, workdir, capsys, options):
    assert main(["--llm", str(small_gpt2), "--n_components", "12", *options.split()]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert not list(workdir.iterdir())
