"""Principal word embeddings of a GPT-2: `python pca.py` writes `wte_pca_500.pt`."""

import argparse
import sys
from typing import TYPE_CHECKING

from utils.command_line import Parser, guarded, whole

if TYPE_CHECKING:
    from torch import Tensor


def principal_word_embeddings(table: "Tensor", n_components: int = 500) -> "Tensor":
    """Reduce a token table along the word axis, exactly and deterministically.

    The table's transpose has a row for each model dimension and a column for each word. Its
    columns are centred, and the scores of its principal components kept: what scikit-learn's
    `PCA(n_components, svd_solver="full").fit_transform(table.T)` gives, with the sign of each
    component fixed so that its largest score is positive.

    Args:
        table: token embeddings `[vocabulary, d_model]`.
        n_components: components d, at most min(vocabulary, d_model).

    Returns:
        `[d_model, n_components]`, float32.

    Raises:
        UserError: more components than there can be.

    Source: paper section "Cross-Modal Match Module" (method section 2).
    """
    import numpy as np
    import torch

    from utils.errors import UserError

    vocabulary, d_model = table.shape
    if not 1 <= n_components <= min(vocabulary, d_model):
        raise UserError(
            f"--n_components {n_components}: a table of {vocabulary} words of width {d_model} "
            f"has 1 to {min(vocabulary, d_model)} components"
        )
    words = table.detach().cpu().numpy().astype(np.float64)
    words -= words.mean(axis=1, keepdims=True)
    # words = Q R, so the scores U S of its transpose are those of the small square R^T
    u, s, _ = np.linalg.svd(np.linalg.qr(words, mode="r").T, full_matrices=False)
    scores = u[:, :n_components] * s[:n_components]
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    return torch.tensor(scores * np.where(largest < 0, -1, 1), dtype=torch.float32)


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = Parser(
        prog="pca.py",
        description="Compute the principal word embeddings of a GPT-2.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--llm", default="gpt2", help="hub id or local folder of a GPT-2")
    parser.add_argument("--n_components", type=whole(1), default=500, help="components to keep")
    parser.add_argument("--output", default="wte_pca_500.pt", help="file to write")
    parser.add_argument(
        "--llm_weights",
        choices=("pretrained", "random"),
        default="pretrained",
        help="random: the token table of an untrained GPT-2, drawn with --seed",
    )
    parser.add_argument("--seed", type=whole(), default=2021, help="seed of random weights")
    args = parser.parse_args(argv)

    def run() -> None:
        import torch

        from layers.backbone import describe_backbone, load_backbone
        from utils.files import whole_file

        table = load_backbone(args.llm, args.llm_weights, args.seed).wte.weight
        words = principal_word_embeddings(table, args.n_components)
        # by way of an open file, since torch would note the temporary name in it
        with whole_file(args.output) as part, part.open("wb") as file:
            torch.save(words, file)
        backbone = describe_backbone(args.llm, args.llm_weights, args.seed)
        print(f"{args.output}: {tuple(words.shape)} from {backbone}")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
