"""Files of principal word embeddings, as `pca.py` and the authors' script write them."""

import _codecs
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from utils.errors import UserError
from utils.files import load_tensors, require_file

DEFAULT_PATH = "wte_pca_500.pt"

# What a NumPy array pickled by NumPy 1 or 2 is made of: the only names a file may call.
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
    """Read principal word embeddings; nothing but a tensor or a NumPy array is unpickled.

    Args:
        path: a `.pt` file with a tensor or with a pickled NumPy array (as existing users have it),
            or a `.npy` file.
        d_model: the backbone's width.

    Returns:
        `[d_model, components]`, float32.

    Raises:
        UserError: the file is missing, holds anything else, or has another shape.
    """
    path = Path(path)
    require_file(path, "python pca.py makes word embeddings for --word_embedding_path")
    try:
        if path.suffix == ".npy":
            words = np.load(path, allow_pickle=False)
        else:
            words = load_tensors(path, _NUMPY_GLOBALS)
        words = torch.as_tensor(words)
        if words.layout != torch.strided or words.is_meta:
            raise TypeError("not a plain tensor")
    except OSError:
        raise
    except Exception as error:
        raise UserError(
            f"{path}: refused, since it holds no plain tensor or NumPy array of word embeddings; "
            "python pca.py makes one"
        ) from error
    fits = words.ndim == 2 and words.shape[0] == d_model and words.shape[1] > 0
    if not fits or not words.is_floating_point():
        raise UserError(
            f"{path} has shape {tuple(words.shape)} ({words.dtype}), but the backbone needs "
            f"({d_model}, components): make the file with python pca.py and the same --llm"
        )
    if not torch.isfinite(words).all():
        raise UserError(f"{path} holds values that are not finite: make it anew with python pca.py")
    return words.float()
