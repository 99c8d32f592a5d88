"""ETT-like series drawn at random; `datasets/synthetic.py` writes them to a file."""

import numpy as np
import pandas as pd

LOADS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL")


def synthetic_ett(rows: int = 5000, channels: int = 7, seed: int = 2021) -> pd.DataFrame:
    """Generate hourly series that resemble the ETT data sets.

    Each load has a daily and a weekly cycle with drifting amplitudes, a slow mean-reverting level
    and autocorrelated noise. The last channel, OT, is an oil temperature that follows the loads
    with inertia. All channels differ in scale.

    Args:
        rows: number of hours.
        channels: the loads and OT, at least 1.
        seed: of the random numbers.

    Returns:
        Columns `date`, the loads, and `OT`.
    """
    rng = np.random.default_rng(seed)
    hours = np.arange(rows)
    n_loads = channels - 1

    def ar1(count: int, coefficient: float) -> np.ndarray:
        """First-order autoregressive noise of unit variance, `[rows, count]`."""
        shocks = rng.standard_normal((rows, count)) * np.sqrt(1 - coefficient**2)
        state = rng.standard_normal(count)
        noise = np.empty((rows, count))
        for row in range(rows):
            state = coefficient * state + shocks[row]
            noise[row] = state
        return noise

    cycles = np.zeros((rows, n_loads))
    for period, strength in ((24, 1.0), (12, 0.4), (168, 0.5)):
        phase = rng.uniform(0, 2 * np.pi, n_loads)
        amplitude = strength * rng.uniform(0.6, 1.4, n_loads) * (1 + 0.25 * ar1(n_loads, 0.998))
        cycles += amplitude * np.sin(2 * np.pi * hours[:, None] / period + phase)
    loads = cycles + 0.6 * ar1(n_loads, 0.997) + 0.35 * ar1(n_loads, 0.7)

    heat = loads.mean(axis=1) if n_loads else np.zeros(rows)
    oil = np.empty(rows)
    level = 0.0
    for row in range(rows):
        level = 0.9 * level + 0.1 * heat[row]
        oil[row] = level
    oil = 2.0 * oil + 0.5 * np.sin(2 * np.pi * hours / 24) + 0.3 * ar1(1, 0.9)[:, 0]

    table = np.column_stack([loads, oil])
    table = table * rng.uniform(0.5, 8, channels) + rng.uniform(0, 20, channels)
    names = [*(LOADS[i] if i < len(LOADS) else f"L{i}" for i in range(n_loads)), "OT"]
    frame = pd.DataFrame(table.round(4), columns=names)
    frame.insert(0, "date", pd.date_range("2016-07-01", periods=rows, freq="h"))
    return frame
