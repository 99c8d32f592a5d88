"""Which GPT-2 and which word embeddings runs are built on."""

from collections.abc import Sequence

from utils.reporting.runs import Run
from utils.reporting.verdicts import MODEL

FULL_SIZE = 768  # d_model of GPT-2
# SHA-256, as `word_embeddings` gives it, of files with the components of GPT-2's own token table
REAL_WORDS = ("a01642f190eff322",)


def backbone_line(runs: Sequence[Run]) -> str:
    """Say which GPT-2 and which word embeddings the models of a table are built on."""
    parts = []
    for weights in sorted({run.backbone for run in runs} - {"", "none"}):
        built = [run for run in runs if run.backbone == weights]
        names = " and ".join(sorted({run.model for run in built}))
        which = f"GPT-2, {weights}"
        if weights == "random":
            which = "a randomly initialised GPT-2 of full size, not the pre-trained one"
        if any((run.record.get("config") or {}).get("d_model") != FULL_SIZE for run in built):
            which = which.replace(" of full size", "")
        words = {run.record.get("word_embeddings") for run in built if run.model == MODEL} - {None}
        of_words = ", ".join(map(_words, sorted(words)))
        parts.append(f"{names} on {which}" + (f", with {of_words}" if of_words else ""))
    if replaced := sorted({run.model for run in runs if run.backbone == "none"}):
        parts.append(f"ablations of {' and '.join(replaced)} on what replaces GPT-2's blocks")
    line = "; ".join(parts) or "no model here has a backbone"
    return f"{line[0].upper()}{line[1:]}."


def _words(source: str) -> str:
    """Describe the source of word embeddings."""
    real = any(digest in source for digest in REAL_WORDS)
    return "the real principal word embeddings" if real else f"word embeddings {source}"
