"""Principal word embeddings of a language model: `python pca.py` writes `wte_pca_500.pt`."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def principal_word_embeddings(
    table: "Tensor", n_components: int = 500, solver: str = "exact", seed: int = 2021
) -> "Tensor":
    """Reduce a token table along the word axis, by default exactly and deterministically.

    The result is that of scikit-learn's `PCA(n_components, svd_solver="full")` fitted to the
    transposed table, whose rows are the model dimensions: the mean over dimensions is removed from
    each word, and the scores are returned. The sign of each component is chosen so that its score
    of largest magnitude is positive.

    Args:
        table: token embeddings `[vocabulary, d_model]`.
        n_components: d, at most min(vocabulary, d_model).
        solver: "exact"; or "randomized", as the published file was made, without a seed: of GPT-2's
            table it agrees with the exact one up to about component 300.
        seed: of the randomized solver.

    Returns:
        `[d_model, n_components]`, float32.

    Raises:
        UserError: `n_components` is out of range.

    Source: `docs/method.md`, section 2; in the paper, "Cross-Modal Match Module".
    """
    import numpy as np
    import torch

    from utils.bars import clock
    from utils.errors import UserError

    vocabulary, d_model = table.shape
    if not 1 <= n_components <= min(vocabulary, d_model):
        raise UserError(
            f"--n_components {n_components}: a table of {vocabulary} words of width {d_model} "
            f"has 1 to {min(vocabulary, d_model)} components"
        )
    # neither scikit-learn nor NumPy tells how far it is
    with clock(f"principal components of {vocabulary:,} words"):
        if solver == "randomized":
            from sklearn.decomposition import PCA

            pca = PCA(n_components, svd_solver="randomized", random_state=seed)
            words = table.detach().cpu().numpy()
            return torch.tensor(pca.fit_transform(words.T), dtype=torch.float32)
        centred = table.detach().cpu().numpy().astype(np.float64)
        centred -= centred.mean(axis=1, keepdims=True)
        # centred = Q R, so its transpose has the same scores U S as the small square matrix R^T
        u, s, _ = np.linalg.svd(np.linalg.qr(centred, mode="r").T, full_matrices=False)
    scores = u[:, :n_components] * s[:n_components]
    largest = np.take_along_axis(scores, np.abs(scores).argmax(axis=0)[None], axis=0)
    return torch.tensor(scores * np.where(largest < 0, -1, 1), dtype=torch.float32)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    import argparse

    from utils.command_line import Parser, guarded, whole

    parser = Parser(
        prog="python pca.py",
        description="Compute the principal word embeddings of a language model.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--llm", default="gpt2", help="hub id, folder or .gguf file")
    parser.add_argument(
        "--n_components", type=whole(1), default=500, help="number of principal components"
    )
    parser.add_argument("--output", default="wte_pca_500.pt", help="file to write")
    parser.add_argument(
        "--llm_weights",
        choices=("pretrained", "random"),
        default="pretrained",
        help="random: the token table of an untrained model, initialised with --seed",
    )
    parser.add_argument(
        "--solver",
        choices=("exact", "randomized"),
        default="exact",
        help="randomized: scikit-learn's, as the published file was made",
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**31), default=2021, help="seed of random weights and solver"
    )
    args = parser.parse_args(argv)

    def run() -> None:
        import torch

        from layers.backbone import describe_backbone, load_backbone
        from utils.files import whole_file

        backbone = load_backbone(args.llm, args.llm_weights, args.seed, n_layer=1)
        table = backbone.get_input_embeddings().weight
        embeddings = principal_word_embeddings(table, args.n_components, args.solver, args.seed)
        # an open file, because torch would write the temporary file's name into the archive
        with whole_file(args.output) as part, part.open("wb") as file:
            torch.save(embeddings, file)
        backbone = describe_backbone(args.llm, args.llm_weights, args.seed)
        print(f"{args.output}: {tuple(embeddings.shape)} from {backbone}")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
