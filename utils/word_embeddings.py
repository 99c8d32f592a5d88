"""Files of principal word embeddings, as `pca.py` and the authors' script write them."""

import _codecs
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.files import load_tensors, require_file

DEFAULT_PATH = "wte_pca_500.pt"

# The only globals that a pickle may load: those of arrays pickled by NumPy 1 and 2.
_NUMPY_GLOBALS = [
    np.ndarray,
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    _codecs.encode,
    (np.ndarray.__reduce__(np.empty(0))[0], "numpy.core.multiarray._reconstruct"),
    (np.ndarray.__reduce__(np.empty(0))[0], "numpy._core.multiarray._reconstruct"),
]


def load_word_embeddings(path: str | Path, d_model: int) -> Tensor:
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
    path = Path(path)
    require_file(path, "python pca.py writes the word embeddings for --word_embedding_path")
    try:
        if path.suffix == ".npy":
            embeddings = np.load(path, allow_pickle=False)
        else:
            embeddings = load_tensors(path, _NUMPY_GLOBALS)
        embeddings = torch.as_tensor(embeddings)
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
            f"needs ({d_model}, components): write the file with python pca.py and the same --llm"
        )
    if not torch.isfinite(embeddings).all():
        raise UserError(f"{path} has non-finite values: write it again with python pca.py")
    return embeddings.float()
