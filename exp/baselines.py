"""What a model has to beat: naive forecasts in the test, trivial predictions in validation."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_provider.windows import WindowDataset
from exp.progress import EpochRecord
from utils.errors import UserError
from utils.metrics import ErrorSums
from utils.naive import naive_forecasts, with_season

if TYPE_CHECKING:
    from exp.exp_basic import ExpBasic
    from exp.series import ExpSeries

DIVERGED = 100.0  # times the largest trivial error


@dataclass(frozen=True)
class TrivialScores:
    """Scores of trivial predictions of the validation split.

    Attributes:
        name: of the score. higher_is_better: whether it is an accuracy, not an error.
        scores: by prediction; the first is the one to beat. Empty without validation.
    """

    name: str
    higher_is_better: bool
    scores: Mapping[str, float]

    @classmethod
    def of(cls, run: "ExpBasic") -> "TrivialScores":
        scores = {} if run.val_set is None else run.trivial_scores()
        return cls(run.score_name, run.higher_is_better, scores)

    def remark(self, record: EpochRecord, improved: bool) -> str:
        """What the line of an epoch says at its end."""
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
        """Print a line if the best epoch is worse than the first trivial prediction.

        Raises:
            UserError: training diverged.
        """
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


def naive_errors(
    run: "ExpSeries", windows: WindowDataset, in_units: bool = True
) -> dict[str, dict[str, float]]:
    """Score naive forecasts of windows: mse and mae by model.

    Args:
        in_units: in the units of the results; otherwise standardised.
    """
    season = run.args.season_length or run.season_length
    sums: dict[str, ErrorSums] = defaultdict(ErrorSums)

    def converted(y):
        return run.units(windows, y) if in_units else y

    for index in run.evaluation.batches(windows):
        run.stopping.check()
        x, y = (windows.scored(part) for part in windows.batch(index))
        true = converted(y)
        for name, pred in naive_forecasts(x, windows.pred_len, season).items():
            sums[name].add(converted(pred), true)
    errors = {name: summed.metrics() for name, summed in sums.items()}
    return with_season(
        {name: {"mse": found["mse"], "mae": found["mae"]} for name, found in errors.items()}, season
    )
