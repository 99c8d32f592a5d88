"""Where principal word embeddings come from: files, as `pca.py` and the authors' script write
them, or none."""

import _codecs
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from utils.errors import UserError
from utils.files import fingerprints, load_tensors, require_file

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_PATH = "wte_pca_500.pt"
# The values of --word_embedding_path that name no file: the principal components of the backbone's
# token table, and Gaussian directions with their variances.
NO_FILE, RANDOM = "none", "random"

# The only globals that a pickle may load: those of arrays pickled by NumPy 1 and 2.
_NUMPY_GLOBALS = [
    *(np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64)), _codecs.encode),
    *((np._core.multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct")
      for core in ("core", "_core")),
]  # fmt: skip


def load_word_embeddings(path: str | Path, d_model: int) -> "Tensor":
    """Read principal word embeddings; only a tensor or a NumPy array is unpickled.

    Args:
        path: a `.pt` file with a tensor or a pickled NumPy array (as the authors' script writes
            it), or a `.npy` file.
        d_model: width of the backbone.

    Returns:
        `[d_model, components]`, float32.

    Raises:
        UserError: the file is missing, contains anything else, or has another shape.

    Source: `docs/method.md`, section 2.
    """
    import torch  # takes seconds

    path = Path(path)
    require_word_embeddings(path)
    try:
        is_npy = path.suffix == ".npy"
        read = np.load(path) if is_npy else load_tensors(path, _NUMPY_GLOBALS)
        embeddings = torch.as_tensor(read)
        if embeddings.layout != torch.strided or embeddings.is_meta:
            raise TypeError("not a dense tensor")
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"{path}: refused: not a dense tensor or NumPy array of word embeddings; "
            "python pca.py writes one"
        ) from error
    fits = embeddings.ndim == 2 and embeddings.shape[0] == d_model and embeddings.shape[1] > 0
    if not fits or not embeddings.is_floating_point():
        raise UserError(
            f"{path} has shape {tuple(embeddings.shape)} ({embeddings.dtype}), but the backbone "
            f"needs ({d_model}, components): write the file with python pca.py and the same --llm, "
            "or give --word_embedding_path none"
        )
    if not torch.isfinite(embeddings).all():
        raise UserError(f"{path} has non-finite values: write it again with python pca.py")
    return embeddings.float()


def require_word_embeddings(path: str | Path) -> None:
    """Check that a file of word embeddings exists; see `require_file`."""
    require_file(Path(path), "python pca.py writes the word embeddings for --word_embedding_path")


def describe_file(path: str) -> str:
    """Name a file and the start of its SHA-256, which tells files of one name apart."""
    (found,) = fingerprints([Path(path)]).values()
    return f"{path} (SHA-256 {found['sha256'][:16]})"


def first_components(embeddings: "Tensor", n_components: int, source: str) -> "Tensor":
    """Select the components of largest variance, which are the first ones of `[d_model,
    components]`; 0 selects all. If there are fewer, a `UserError` names `source`."""
    if n_components > embeddings.shape[1]:
        raise UserError(
            f"--n_components {n_components}: {source} has {embeddings.shape[1]} components"
        )
    return embeddings[:, : n_components or None]


def random_directions(embeddings: "Tensor", seed: int) -> "Tensor":
    """Draw Gaussian word embeddings `[d_model, components]` with the mean and the variance of each
    component; the global random state is unchanged."""
    import torch  # takes seconds

    draws = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(seed))
    variance, mean = torch.var_mean(embeddings, dim=0)
    drawn_variance, drawn_mean = torch.var_mean(draws, dim=0)
    return (draws - drawn_mean) * (variance / drawn_variance).sqrt() + mean
