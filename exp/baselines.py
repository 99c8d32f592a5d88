"""Trivial predictions, which a model has to beat in validation."""

from collections.abc import Mapping
from dataclasses import dataclass

from exp.progress import EpochRecord
from utils.errors import UserError

DIVERGED = 100.0  # times the largest trivial error


@dataclass(frozen=True)
class TrivialScores:
    """Scores of trivial predictions of the validation split, the one to beat first; none without
    validation. `name` and `higher_is_better` are those of the task's score."""

    name: str
    higher_is_better: bool
    scores: Mapping[str, float]

    def remark(self, record: EpochRecord, improved: bool) -> str:
        """Suffix of the log line of an epoch: best, diverged or empty."""
        if self.diverged(record.validation):
            return " | diverged"
        return " | best" if improved and record.validation is not None else ""

    def diverged(self, score: float | None) -> bool:
        """Whether a validation error is larger by orders of magnitude than the trivial ones, and
        than 1, the variance of standardised training rows."""
        if score is None or self.higher_is_better or not self.scores:
            return False
        return score > DIVERGED * max(1.0, *self.scores.values())

    def describe(self, best: EpochRecord | None) -> dict[str, object]:
        """Make entries of `run.json`: these scores, and whether the best epoch is far from them."""
        diverged = best is not None and self.diverged(best.validation)
        return {"validation_baselines": dict(self.scores), "diverged": diverged}

    def check(self, best: EpochRecord) -> None:
        """Print a line if the best epoch is worse than the first trivial prediction; a training
        that diverged is an error."""
        if best.validation is None or not self.scores:
            return
        prediction, score = next(iter(self.scores.items()))
        found = (
            f"validation {self.name} {best.validation:.4g} (epoch {best.epoch}) against "
            f"{score:.4g} of {prediction}"
        )
        if self.diverged(best.validation):
            raise UserError(
                f"training diverged, and no epoch is good: {found}; try a smaller --learning_rate"
            )
        worse = best.validation < score if self.higher_is_better else best.validation > score
        if worse:
            print(f"did not learn: {found}; try another --learning_rate or more --train_epochs")
