"""Short-term forecasting: the M4 competition."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_provider import m4
from exp.exp_basic import ExpBasic
from models.interface import DataShape
from utils.batch import Batch
from utils.configuration import Configuration
from utils.errors import UserError
from utils.files import file_name, remove_parts, whole_file
from utils.locks import locked
from utils.m4_summary import (
    SCORES,
    PatternScores,
    overall_weighted_average,
    score_pattern,
    smape,
    summarise,
)
from utils.naive import LAST_VALUE, naive_forecasts, naive_lines, print_naive, with_season
from utils.plots import ForecastPanel, evenly, plot_window
from utils.results import LOCK

PLOTTED_SERIES = 5


class ExpShortTermForecasting(ExpBasic):
    """Train on one M4 frequency and forecast the competition's test horizon.

    The epoch is chosen on the held-out last horizon of every training series; with `--protocol
    published` on the test data, and training samples cut near the start of a series lack a target.
    """

    score_name = "smape"
    drop_last = False
    n_channels = 1

    def resolve_args(self, args: Configuration) -> Configuration:
        """Take look-back and horizon from the frequency, as the published code does."""
        if args.data != "m4":
            raise UserError(f"--data {args.data}: short_term_forecast needs --data m4")
        if args.seasonal_patterns not in m4.PATTERNS:
            raise UserError(
                f"--seasonal_patterns {args.seasonal_patterns} is not a frequency of M4: "
                f"use one of {', '.join(m4.PATTERNS)}"
            )
        horizon = m4.PATTERNS[args.seasonal_patterns].horizon
        return args.replace(pred_len=horizon, seq_len=2 * horizon, label_len=horizon, features="M")

    def prepare_data(self) -> None:
        args = self.args
        self.folder = Path("m4_results") / args.model
        self.folders.more = [self.folder]
        self.forecast_file = self.folder / f"{args.seasonal_patterns}_forecast.csv"
        self.pattern = m4.PATTERNS[args.seasonal_patterns]
        self.season_length = args.season_length or self.pattern.period
        self.train_file, self.targets = m4.read_pair(args.root_path, args.seasonal_patterns)
        self.series = self.train_file.series
        self.naive2 = None
        naive2 = m4.read_naive2(args.root_path)
        test_path = m4.find_file(args.root_path, "test", args.seasonal_patterns)
        self.note_data(self.train_file.path, test_path, *([naive2.path] if naive2 else []))
        if naive2 is None:
            print(f"{Path(args.root_path) / m4.NAIVE2_FILE} is missing: OWA can't be computed")
        else:
            self.naive2 = m4.align(naive2, self.train_file, args.pred_len)
        self.test_set = self._dataset(self.series)
        if self.published:
            self.train_set = self._dataset(self.series, args.label_len)
            self.val_set, self.val_targets = self.test_set, self.targets
        else:
            self._hold_out(args.pred_len)
        print(
            f"{self.train_file.path}: {len(self.series):,} series; look-back {args.seq_len}, "
            f"horizon {args.pred_len}; epochs chosen on "
            + ("the test data" if self.published else "a held-out horizon")
        )

    def _hold_out(self, horizon: int) -> None:
        """Hold out the last horizon of every series that stays long enough for windows."""
        long = [values for values in self.series if len(values) >= horizon + 2]
        short = [values for values in self.series if len(values) < horizon + 2]
        if not long:
            raise UserError(
                f"{self.train_file.path}: no series is longer than a horizon of {horizon} steps, "
                "so that none can be held out; use --protocol published"
            )
        if short:
            print(f"series too short to hold out a horizon, used whole for training: {len(short)}")
        cut = [values[:-horizon] for values in long]
        self.val_set = self._dataset(cut)
        self.val_targets = np.stack([values[-horizon:] for values in long])
        self.train_set = self._dataset([*cut, *short])

    def _dataset(self, series: list[np.ndarray], label_len: int = 0) -> m4.M4Dataset:
        args = self.args
        dataset = m4.M4Dataset(series, args.seq_len, args.pred_len, self.pattern.history, label_len)
        return dataset.to(self.device)

    def data_shape(self) -> DataShape:
        return replace(super().data_shape(), season_length=self.pattern.period)

    def training_batch(self, index: Tensor) -> Batch:
        x, y, y_mask = self.train_set.batch(index)
        return Batch(x, y, y_mask=y_mask, period=self.pattern.period)

    def score(self, windows: m4.M4Dataset) -> float:
        targets = self.val_targets if windows is self.val_set else self.targets
        return smape(self._forecasts(windows), targets)

    def batch_score(self, index: Tensor) -> tuple[float, float]:
        forecasts = self.evaluation.predict_here(Batch(self.val_set.last_windows(index)))
        score = smape(as_array(forecasts), self.val_targets[index.cpu()])
        return score * len(index), len(index)

    def trivial_scores(self) -> dict[str, float]:
        forecasts = self._naive_forecasts(self.val_set)[LAST_VALUE]
        return {"the last value": smape(forecasts, self.val_targets)}

    def _naive_forecasts(self, dataset: m4.M4Dataset) -> dict[str, np.ndarray]:
        """Naive forecasts of every series from its end, `[series, horizon]`."""
        everything = torch.arange(len(dataset), device=self.device)
        windows, horizon = dataset.last_windows(everything), self.args.pred_len
        forecasts = naive_forecasts(windows, horizon, self.season_length)
        return {name: as_array(pred) for name, pred in forecasts.items()}

    def _forecasts(self, dataset: m4.M4Dataset) -> np.ndarray:
        """Forecast every series from its end, `[series, horizon]`."""
        indices = self.evaluation.batches(dataset)
        batches = (Batch(dataset.last_windows(index)) for index in indices)
        return np.concatenate([as_array(self.evaluation.predict(batch)) for batch in batches])

    def test(self) -> dict[str, float]:
        """Forecast, score against test data and Naive2, and summarise all frequencies so far."""
        args = self.args
        print(f">>> testing {self.setting}")
        start = time.perf_counter()
        forecasts = self._forecasts(self.test_set)
        seconds = time.perf_counter() - start
        found = with_owa(
            self._scores(forecasts), None if self.naive2 is None else self._scores(self.naive2)
        )
        metrics = {name: found[name] for name in SCORES}
        scores = {name: found[name] for name in ("smape", "mase", "owa") if name in found}
        steps = zip(forecasts.T, self.targets.T, strict=True)
        by_step = [smape(forecast, target) for forecast, target in steps]
        naive = {name: self._scores(y) for name, y in self._naive_forecasts(self.test_set).items()}
        baselines = {name: {"smape": one.smape, "mase": one.mase} for name, one in naive.items()}
        baselines = with_season(baselines, self.season_length)
        summary = {}
        if self.folders.writes:
            self._plot(forecasts)
            self._save(forecasts)
            summary = summarise_folder(args.root_path, self.folder)
        self.save_results(
            metrics,
            scores,
            test={
                "windows": len(self.series),
                "series": len(self.series),
                "seconds": seconds,
                "forecasts": str(self.forecast_file),
            },
            errors={"by_step": {"smape": by_step}},
            frequency=args.seasonal_patterns,
            summary=summary,
            baselines=baselines,
        )
        print_naive(args.model, {"smape": scores["smape"]}, baselines)
        return found

    def _scores(self, forecasts: np.ndarray) -> PatternScores:
        return score_pattern(forecasts, self.targets, self.series, self.pattern.period)

    def _save(self, forecasts: np.ndarray) -> None:
        pattern, path = self.args.seasonal_patterns, self.forecast_file
        table = pd.DataFrame(forecasts, columns=[f"V{i + 1}" for i in range(forecasts.shape[1])])
        table.insert(0, "id", self.train_file.ids)
        notes = self.folder / "runs.json"
        with locked(self.folder / LOCK, wait=True):
            remove_parts(self.folder)
            runs = json.loads(notes.read_text()) if notes.exists() else {}
            earlier = runs.get(pattern, {}).get("folder", self.folders.name)
            if earlier != self.folders.name:
                print(f"{path} had the forecasts of {earlier}; they are replaced")
            with whole_file(path) as part:
                table.to_csv(part, index=False)
            runs[pattern] = {
                "setting": self.setting,
                "folder": self.folders.name,
                "protocol": self.args.protocol,
            }
            with whole_file(notes) as part:
                part.write_text(json.dumps(runs, indent=2) + "\n")

    def _plot(self, forecasts: np.ndarray) -> None:
        back, pattern = 2 * self.args.seq_len, self.args.seasonal_patterns
        for number in evenly(len(self.series), PLOTTED_SERIES):
            series, true = self.train_file.ids[number], self.targets[number]
            history = self.series[number][-back:]
            known = len(self.series[number])
            steps = range(known - len(history) + 1, known + len(true) + 1)
            naive = naive_lines(history, len(true), self.season_length)
            panel = ForecastPanel(
                f"M4 {pattern} · series {series} of {len(self.series):,} · {len(true)} steps ahead "
                f"· sMAPE {smape(forecasts[number], true):.3g}",
                history,
                true,
                {self.args.model: forecasts[number]}
                | {f"{name}: sMAPE {smape(y, true):.3g}": y for name, y in naive.items()},
            )
            times = pd.Index(steps, name=f"step of the series, {pattern.lower()}")
            path = self.folders.plots / f"{file_name(series)}.png"
            plot_window(path, times, [panel], "value (original units)")


def as_array(forecasts: Tensor) -> np.ndarray:
    """Convert forecasts `[series, horizon, 1]` to `[series, horizon]`, float64."""
    return forecasts[..., 0].cpu().numpy().astype(np.float64)


def summarise_folder(root_path: str | Path, folder: Path) -> dict[str, dict[str, float]]:
    """Score the files `PATTERN_forecast.csv` of a folder by the competition's files; print a line
    per frequency and, with all six, the summary. What does not match the data is left out.

    Returns:
        Scores by frequency (smape, mase, mape and, with Naive2, owa); with all six frequencies also
        "summary": by score and group.
    """
    naive2 = m4.read_naive2(root_path)
    ours, theirs, lines = {}, {}, {}
    print(f"forecasts so far in {folder}:")
    for pattern, about in m4.PATTERNS.items():
        path = folder / f"{pattern}_forecast.csv"
        if not path.is_file():
            continue
        try:
            train, targets = m4.read_pair(root_path, pattern)
            forecasts = m4.align(m4.read_m4(path), train, about.horizon)
            naive = None if naive2 is None else m4.align(naive2, train, about.horizon)
        except UserError as error:
            print(f"M4 {pattern:9} left out: {path} does not match the data: {error}")
            continue
        ours[pattern] = score_pattern(forecasts, targets, train.series, about.period)
        if naive is not None:
            theirs[pattern] = score_pattern(naive, targets, train.series, about.period)
        lines[pattern] = with_owa(ours[pattern], theirs.get(pattern))
        print(_line(pattern, lines[pattern]))
    if len(ours) < len(m4.PATTERNS):
        return lines
    summary = summarise(ours, theirs)
    print("summary of the six, as the competition groups them:")
    for group in summary["smape"]:
        print(_line(group, {name: values[group] for name, values in summary.items()}))
    return {**lines, "summary": summary}


def with_owa(ours: PatternScores, naive2: PatternScores | None) -> dict[str, float]:
    """Return smape, mase and mape by name and, with the scores of Naive2, owa."""
    scores = {name: getattr(ours, name) for name in SCORES}
    return scores | ({"owa": overall_weighted_average(scores, naive2._asdict())} if naive2 else {})


def _line(name: str, scores: dict[str, float]) -> str:
    return f"M4 {name:9} " + "  ".join(f"{score} {value:.3f}" for score, value in scores.items())
