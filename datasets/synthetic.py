"""An ETT-like CSV made from nothing: `python -m datasets.synthetic --output FILE`."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.command_line import Parser, guarded, whole
from utils.files import whole_file

LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")


def synthetic_ett(rows: int = 5000, channels: int = 7, seed: int = 2021) -> pd.DataFrame:
    """Make hourly series like those of the ETT data sets.

    Each load has a daily and a weekly cycle whose amplitudes drift, a slow level (a random walk
    that reverts) and autocorrelated noise; the last channel, OT, is an oil temperature that
    follows the loads with inertia. All differ in scale.

    Args:
        rows: hours. channels: loads and OT together, at least 1. seed: of the random numbers.

    Returns:
        Columns `date`, the loads, and `OT`.
    """
    rng = np.random.default_rng(seed)
    hours = np.arange(rows)
    loads = channels - 1

    def reverting(count: int, inertia: float) -> np.ndarray:
        """Autoregressive noise of unit variance, `[rows, count]`."""
        shocks = rng.standard_normal((rows, count)) * np.sqrt(1 - inertia**2)
        state = rng.standard_normal(count)
        walk = np.empty((rows, count))
        for row in range(rows):
            state = inertia * state + shocks[row]
            walk[row] = state
        return walk

    cycles = np.zeros((rows, loads))
    for period, strength in ((24, 1.0), (12, 0.4), (168, 0.5)):
        phase = rng.uniform(0, 2 * np.pi, loads)
        amplitude = strength * rng.uniform(0.6, 1.4, loads) * (1 + 0.25 * reverting(loads, 0.998))
        cycles += amplitude * np.sin(2 * np.pi * hours[:, None] / period + phase)
    series = cycles + 0.6 * reverting(loads, 0.997) + 0.35 * reverting(loads, 0.7)

    heat = series.mean(axis=1) if loads else np.zeros(rows)
    oil = np.empty(rows)
    level = 0.0
    for row in range(rows):
        level = 0.9 * level + 0.1 * heat[row]
        oil[row] = level
    oil = 2.0 * oil + 0.5 * np.sin(2 * np.pi * hours / 24) + 0.3 * reverting(1, 0.9)[:, 0]

    table = np.column_stack([series, oil])
    table = table * rng.uniform(0.5, 8, channels) + rng.uniform(0, 20, channels)
    names = [*(LOADS[i] if i < len(LOADS) else f"L{i}" for i in range(loads)), "OT"]
    frame = pd.DataFrame(table.round(4), columns=names)
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=rows, freq="h"))
    return frame


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns the exit code."""
    parser = Parser(
        prog="datasets/synthetic.py", description="Write an ETT-like CSV of synthetic series."
    )
    parser.add_argument("--output", required=True, help="file to write")
    parser.add_argument("--rows", type=whole(1), default=5000, help="hours (default 5000)")
    parser.add_argument("--channels", type=whole(1), default=7, help="channels (default 7)")
    parser.add_argument("--seed", type=whole(), default=2021, help="default 2021")
    args = parser.parse_args(argv)

    def run() -> None:
        with whole_file(args.output) as part:
            synthetic_ett(args.rows, args.channels, args.seed).to_csv(part, index=False)
        print(f"{args.output}: {args.rows} rows, {args.channels} channels")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
