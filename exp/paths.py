"""Look at the paths on a command line before PyTorch is imported, which takes seconds."""

from argparse import Namespace
from pathlib import Path

from data_provider.checks import require_data_file
from models.registry import options_of
from utils.errors import UserError
from utils.files import require_file, require_model_folder
from utils.word_embeddings import DEFAULT_PATH, NO_FILE, RANDOM, require_word_embeddings


def check_paths(args: Namespace) -> None:
    """Check that the files and folders exist that a run is going to read.

    Raises:
        UserError: one does not.
    """
    if args.checkpoint:
        require_file(Path(args.checkpoint), "train first, or name a checkpoint by --checkpoint")
    _check_data(args)
    used = options_of(args.model)
    reads_words = "word_embedding_path" in used.intersection(args.given) and args.words != "none"
    names_file = args.word_embedding_path not in (DEFAULT_PATH, NO_FILE, RANDOM)
    if args.is_training and reads_words and names_file:
        require_word_embeddings(args.word_embedding_path)
    if "llm" in used:
        require_model_folder(args.llm)


def _check_data(args: Namespace) -> None:
    root = Path(args.root_path)
    if args.task_name not in ("long_term_forecast", "imputation"):
        if not root.is_dir():
            raise UserError(
                f"{root}: no such folder; check --root_path (datasets/README.md says where the "
                "data sets come from)"
            )
        return
    options = "--root_path and --data_path, or --target_data"
    if args.is_training or not args.zero_shot:
        require_data_file(root / args.data_path, options)
    if args.zero_shot and not (root / args.target_data).is_file():
        require_data_file(root / f"{args.target_data.removesuffix('.csv')}.csv", options)
