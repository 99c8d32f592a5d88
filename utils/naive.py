"""The naive forecasts that figures compare with (Hyndman and Athanasopoulos, FPP3, section 5.2)."""

import numpy as np


def naive_forecast(history: np.ndarray, steps: int, season: int) -> tuple[str, np.ndarray]:
    """Repeat the last season, or the last value where no season is known or it does not fit.

    Args:
        history: `[length, ..]`. season: in steps; 0 or 1 if there is none.

    Returns:
        The name of the forecast, and its values `[steps, ..]`.
    """
    if not 1 < season <= len(history):
        return "last value", history[np.full(steps, -1)]
    return f"seasonal naive ({season})", history[-season:][np.arange(steps) % season]
