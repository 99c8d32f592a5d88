"""Which GPT-2 and which word embeddings runs are built on."""

from collections.abc import Sequence

from utils.reporting.claims import MODEL
from utils.reporting.runs import Run

FULL_SIZE = 768  # d_model of GPT-2
# SHA-256, as `word_embeddings` gives it, of files with the components of GPT-2's own token table
REAL_WORDS = ("a01642f190eff322",)


def backbone_line(runs: Sequence[Run]) -> str:
    """Say which GPT-2 and which word embeddings the models of a table are built on."""
    parts = []
    for weights in sorted({run.backbone for run in runs} - {""}):
        built = [run for run in runs if run.backbone == weights]
        names = " and ".join(sorted({run.model for run in built}))
        which = {
            "random": "a randomly initialised GPT-2 of full size, not the pre-trained one",
            "none": "layers in place of GPT-2's blocks",
        }.get(weights, f"GPT-2, {weights}")
        if any((run.record.get("config") or {}).get("d_model") != FULL_SIZE for run in built):
            which = which.replace(" of full size", "")
        words = {run.record.get("word_embeddings") for run in built if run.model == MODEL} - {None}
        of_words = ", ".join(map(_words, sorted(words)))
        parts.append(f"{names} on {which}" + (f", with {of_words}" if of_words else ""))
    return f"{'; '.join(parts)}." if parts else "No model here has a backbone."


def _words(source: str) -> str:
    """Describe the source of word embeddings."""
    real = any(digest in source for digest in REAL_WORDS)
    return "the real principal word embeddings" if real else f"word embeddings {source}"
