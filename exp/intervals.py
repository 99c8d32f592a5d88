"""Prediction intervals by split conformal prediction, for each step and channel.

The error of a forecast is measured in units of the spread of its own look-back. The quantiles of
these errors on validation windows, which training has not used, are the intervals of later
forecasts. They cover as often as they say if later windows come from the same distribution as the
validation windows (exchangeability). Time series drift, so that coverage on new data has to be
measured (`coverage` in `run.json`); `Recalibration` follows a drift by the errors known so far.

A look-back at rest, of which nearly all steps have one value, has no spread that tells of later
ones: its unit is the mean spread of the channel, and its intervals include the value.

Sources: Lei et al., Distribution-Free Predictive Inference for Regression, 2018 (errors in units of
a local spread); Romano et al., Conformalized Quantile Regression, 2019 (both tails).
"""

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from numbers import Real
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from utils.checkpoint import read_checkpoint, save_tensors
from utils.errors import UserError
from utils.option_table import LEVEL_LIMITS

# A level of 80 % needs 0.1 and 0.9; other probabilities are interpolated.
PROBABILITIES = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
    0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.975, 0.99, 0.995,
)  # fmt: skip
INTERVALS = "intervals.safetensors"  # file beside the results
LEAST = 0.25  # of the mean spread of a channel, added to each
AT_REST = 0.8  # of the steps of a look-back: more of one value leave it without a spread of its own
ROUNDING = 1e-6  # of a value of the model's input
MAX_VALUES = 2**26  # errors that are kept for calibration
REPORTED = (50, 80, 90, 95)  # levels in % of `held_out_coverage`
RECENT = 512  # most windows of a `Recalibration`


class LookBacks(NamedTuple):
    """What intervals read of look-backs, `[windows, 1, channels]` each: their standard deviation,
    their median, and whether more than `AT_REST` of the steps have that value."""

    spread: Tensor
    value: Tensor
    rests: Tensor

    @classmethod
    def of(cls, x: Tensor) -> "LookBacks":
        """Read look-backs `[windows, seq_len, channels]`."""
        value = x.median(dim=1, keepdim=True).values
        rests = (x == value).sum(dim=1, keepdim=True) > AT_REST * x.shape[1]
        return cls(x.std(dim=1, keepdim=True, unbiased=False), value, rests)

    def scale(self, least: Tensor) -> Tensor:
        """Return the units of errors, `[windows, 1, channels]`; see `Intervals` for `least`."""
        least = least.to(self.spread.device)
        return torch.where(self.rests, least / LEAST, self.spread + least)

    def include(self, quantile: Tensor, probability: float) -> Tensor:
        """Move quantiles of the truth `[windows, steps, channels]` so that intervals include the
        value of look-backs at rest."""
        if probability == 0.5 or not self.rests.any():
            return quantile
        slack = ROUNDING * (1 + self.value.abs())
        if probability < 0.5:
            return torch.where(self.rests, quantile.minimum(self.value - slack), quantile)
        return torch.where(self.rests, quantile.maximum(self.value + slack), quantile)


def bounds_of(name: str, level: float) -> tuple[str, str]:
    """Names of the columns of the interval of a forecast, as neuralforecast has them."""
    return f"{name}-lo-{level:g}", f"{name}-hi-{level:g}"


def tails(level: float) -> tuple[float, float]:
    """Probabilities below the lower and the upper bound of a level in %."""
    return (1 - level / 100) / 2, (1 + level / 100) / 2


@dataclass(frozen=True)
class Intervals:
    """Quantiles of errors in units of the spread of the look-back.

    Attributes:
        quantiles: `[probabilities, steps, channels]`, of truth minus forecast, for `PROBABILITIES`.
        least: added to the spread of a look-back, `[channels]`, in units of the model's input.
        windows: of the calibration.
        unit: of the model's input, in original units, `[channels]`; None if it is always the same.
    """

    quantiles: Tensor
    least: Tensor
    windows: int
    unit: Tensor | None = None

    @classmethod
    def calibrate(
        cls, windows: Iterable[tuple[Tensor, Tensor, Tensor]], unit: Tensor | None = None
    ) -> tuple["Intervals", Tensor]:
        """Compute the quantiles from forecasts of windows that training has not used.

        Args:
            windows: batches of look-back `[batch, seq_len, channels]`, forecast and truth, both
                `[batch, steps, channels]`; see `thinned` for how many.

        Returns:
            The intervals, and the errors in units of their spread, `[windows, steps, channels]`.
        """
        found = []
        for x, pred, true in windows:
            found.append([values.cpu() for values in (*LookBacks.of(x), true - pred)])
        *parts, errors = (torch.cat(values) for values in zip(*found, strict=True))
        looks = LookBacks(*parts)
        least = LEAST * looks.spread.mean(dim=(0, 1))
        least[least == 0] = 1.0  # constant channels
        errors.div_(looks.scale(least))
        return cls(quantiles(errors), least, len(errors), unit), errors

    def in_unit(self, unit: Tensor | None) -> "Intervals":
        """Return the intervals of forecasts by another scaler, whose unit this is, `[channels]`;
        those of pooled series, which have none, are always the same."""
        factor = 1.0 if self.unit is None or unit is None else self.unit / unit
        return replace(self, least=(self.least * factor).to(self.least), unit=unit)

    def save(self, path: Path) -> None:
        """Write the intervals."""
        tensors = {"quantiles": self.quantiles, "least": self.least}
        tensors |= {} if self.unit is None else {"unit": self.unit}
        save_tensors(path, tensors, {"calibration_windows": self.windows})

    @classmethod
    def load(cls, path: str | Path) -> "Intervals":
        """Read what `save` wrote; see `read_checkpoint`."""
        saved = read_checkpoint(path)
        return cls(**saved.state, windows=saved.metadata["calibration_windows"])

    def quantile(self, pred: Tensor, looks: LookBacks, probability: float) -> Tensor:
        """Quantile of the truth at a probability in (0, 1), of forecasts `pred`; both `[batch,
        steps, channels]`."""
        errors = interpolated(self.quantiles, probability).to(pred.device)
        found = pred + errors * looks.scale(self.least)
        return looks.include(found, probability)

    def bounds(self, pred: Tensor, looks: LookBacks, level: float) -> tuple[Tensor, Tensor]:
        """Lower and upper bound of the interval of a level in %, see `quantile`.

        The forecast is within them, even if it is too high or too low at almost all windows.
        """
        lower, upper = (self.quantile(pred, looks, probability) for probability in tails(level))
        return torch.minimum(lower, pred), torch.maximum(upper, pred)


def interpolated(found: Tensor, probability: float) -> Tensor:
    """Interpolate what `quantiles` returns at a probability: `[…]`."""
    known = torch.tensor(PROBABILITIES, dtype=torch.float64)
    above = int(torch.searchsorted(known, probability - 1e-9).clamp(1, len(known) - 1))
    start, stop = known[above - 1].item(), known[above].item()
    weight = min(max((probability - start) / (stop - start), 0.0), 1.0)
    return torch.lerp(found[above - 1], found[above], weight)


def require_levels(
    levels: Collection[float],
    name: str = "level",
    within: tuple[float, float] = LEVEL_LIMITS,
    example: str = "[80, 95], in %",
) -> None:
    """Require a list of numbers within limits, by default of levels in %.

    Raises:
        UserError: it is none, or one is not.
    """
    lowest, highest = within
    if isinstance(levels, str) or not isinstance(levels, Collection):
        raise UserError(f"{name}={levels!r}: give a list, such as {example}")
    for one in levels:
        if isinstance(one, bool) or not isinstance(one, Real) or not lowest <= one <= highest:
            why = f"{one!r} is not a number from {lowest} to {highest}"
            raise UserError(f"{name}: {why}: give a list, such as {example}")


def check_levels(levels: Sequence[float], intervals: Intervals) -> None:
    """Check levels in %, see `require_levels`; warn of one that the calibration has too few windows
    for."""
    require_levels(levels)
    for level in levels:
        if intervals.windows < (needed := windows_needed(level)):
            print(
                f"warning: a level of {level:g} % needs {needed} validation windows; there are "
                f"{intervals.windows}: the bounds are the extreme errors",
                file=sys.stderr,
            )


def windows_needed(level: float) -> int:
    """Fewest calibration windows for which both quantiles of a level in % exist."""
    return round(2 / (1 - level / 100)) - 1


def held_out_coverage(errors: Tensor) -> dict[str, float]:
    """Return which fraction of the errors `[windows, steps, channels]` of the later half of windows
    is within the intervals of the earlier half, without those whose truth was not known then; by
    level in %, of those that the earlier half has windows enough for."""
    half, steps = len(errors) // 2, errors.shape[1]
    first, later = errors[: max(0, half - steps + 1)], errors[half:]
    levels = [level for level in REPORTED if len(first) >= windows_needed(level)]
    known, found = quantiles(first) if levels else None, {}
    for level in levels:
        lower, upper = (interpolated(known, probability) for probability in tails(level))
        inside = (later >= lower.clamp(max=0)) & (later <= upper.clamp(min=0))
        found[f"{level:g}"] = inside.double().mean().item()
    return found


def quantiles(errors: Tensor) -> Tensor:
    """Conformal quantiles of errors `[windows, …]`: `[probabilities, …]`.

    Of n sorted errors, the upper ones are those of rank ceil((n + 1) p), the lower ones those of
    rank floor((n + 1) p), so that an interval covers at least as often as its level says.
    """
    count = len(errors)
    probabilities = np.array(PROBABILITIES)
    ranks = ((count + 1) * probabilities).round(6)  # 0.1 * 30 is not 3 in binary
    ranks = np.where(probabilities > 0.5, np.ceil(ranks), np.floor(ranks)).astype(int)
    rows = ranks.clip(1, count) - 1
    by_window = errors.movedim(0, -1).numpy(force=True)
    ordered = np.sort(np.ascontiguousarray(by_window), axis=-1)  # faster than PyTorch by far
    return torch.from_numpy(ordered[..., rows]).movedim(-1, 0).contiguous()


def thinned(windows: int, values: int) -> range:
    """Choose windows for a calibration, evenly, so that their errors, `values` of each, fit in
    memory."""
    return range(0, windows, max(1, -(-windows * values // MAX_VALUES)))


class Recalibration:
    """Intervals from the latest errors that are known when a forecast is made.

    Args:
        first: the intervals of the validation windows. errors: of these windows, in units of their
            spread, `[windows, steps, channels]`, in the order of time.
    """

    def __init__(self, first: Intervals, errors: Tensor):
        self.first, self.steps = first, errors.shape[1]
        size = max(1, min(RECENT, MAX_VALUES // errors[0].numel()))
        self.every = max(1, len(errors) // size)
        self.errors = errors[:: self.every]
        self.waiting = errors[:0]  # of windows whose truth is not known yet

    def intervals(self) -> Intervals:
        """Return the intervals of the next forecasts."""
        return replace(self.first, quantiles=quantiles(self.errors), windows=len(self.errors))

    def add(self, errors: Tensor) -> None:
        """Add the errors of the windows that follow. Those whose last step has passed when the next
        window begins replace the earliest ones."""
        self.waiting = torch.cat([self.waiting, errors])
        known = max(0, len(self.waiting) - self.steps + 1)
        size = len(self.errors)
        self.errors = torch.cat([self.errors, self.waiting[: known : self.every]])[-size:]
        self.waiting = self.waiting[known:]


def pinball(error: Tensor, probability: float) -> Tensor:
    """Quantile loss of truth minus quantile, elementwise."""
    return torch.maximum(probability * error, (probability - 1) * error)


class IntervalTest:
    """Coverage, mean width and pinball loss of intervals on test windows, which come in the order
    of time: of those of the validation windows alone, and of those that are calibrated anew as the
    truth of earlier test windows becomes known.

    Args:
        levels: in %. calibration: batches of validation windows, see `Intervals.calibrate`.
        unit: of the model's input, see `Intervals`. steps: of a forecast.
        units: converts truths and bounds of windows to the units of the results.
    """

    def __init__(
        self,
        levels: Iterable[float],
        calibration: Iterable[tuple[Tensor, Tensor, Tensor]],
        unit: Tensor | None,
        steps: int,
        units: Callable[[Tensor, Tensor], Tensor],
    ):
        self.levels, self.steps, self.units = list(levels), steps, units
        self.intervals, errors = Intervals.calibrate(calibration, unit)
        self.recalibration = Recalibration(self.intervals, errors)
        # [of the validation windows, anew; covered, width, pinball loss; levels; steps]
        self.sums = torch.zeros(2, 3, len(self.levels), steps, dtype=torch.float64)
        self.count = 0
        check_levels(self.levels, self.intervals)

    def add(self, pred: Tensor, x: Tensor, true: Tensor, index: Tensor) -> None:
        """Score forecasts of the windows `index` `[batch]`, which follow those before; `pred` and
        `true` are `[batch, steps, channels]`, look-backs `x` `[batch, seq_len, channels]`."""
        parts = (values.split(self.steps) for values in (pred, x, true, index))
        for forecast, look_back, truth, numbers in zip(*parts, strict=True):
            looks, y = LookBacks.of(look_back), self.units(truth, numbers)
            both = self.intervals, self.recalibration.intervals()
            for (row, level), (sums, intervals) in product(
                enumerate(self.levels), zip(self.sums, both, strict=True)
            ):
                bounds = intervals.bounds(forecast, looks, level)
                lower, upper = (self.units(values, numbers) for values in bounds)
                below, above = tails(level)
                loss = (pinball(y - lower, below) + pinball(y - upper, above)) / 2
                scores = (y >= lower) & (y <= upper), upper - lower, loss
                for total, values in zip(sums, scores, strict=True):
                    total[row] += values.double().sum(dim=(0, 2)).cpu()
            self.count += truth.shape[0] * truth.shape[2]
            errors = (truth - forecast) / looks.scale(self.intervals.least)
            self.recalibration.add(errors.cpu())

    def results(self) -> dict[str, object]:
        """Return the scores for `run.json`: a number a level, and the coverage of every step."""
        fixed, renewed = (
            dict(zip(("coverage", "width", "pinball"), by_step.mean(dim=2).tolist(), strict=True))
            | {"coverage_by_step": by_step[0].tolist()}
            for by_step in self.sums / self.count
        )
        return {
            "method": "split conformal",
            "levels": self.levels,
            **fixed,
            "recalibrated": renewed,
            "calibration_windows": self.intervals.windows,
        }

    def lines(self) -> Iterable[str]:
        """Describe the scores, a line a level."""
        found = self.results()
        for row, level in enumerate(self.levels):
            yield (
                f"intervals of {level:g} % cover {found['coverage'][row]:.1%} of the test values, "
                f"mean width {found['width'][row]:.4g}; calibrated anew as time goes on "
                f"{found['recalibrated']['coverage'][row]:.1%}"
            )
