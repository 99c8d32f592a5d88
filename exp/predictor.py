"""What a forecaster does with its trained model: read a frame, forecast, add intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data_provider.frames import Panel
from exp.forecast_tables import Form
from exp.intervals import Intervals, bounds_of, check_levels
from exp.panel import ExpPanel, pad
from exp.parameters import Parameters
from utils.errors import UserError


class Predictor(Parameters):
    """Forecasts of panels by a trained model.

    Attributes:
        run: the trained model; None before the training.
        intervals: from the validation windows, if there were any.
        history: the last rows of the series that were trained on; None in a loaded one.
        form: names of the columns of frames. wide: the time's name if the last frame was wide.
    """

    run: ExpPanel | None = None
    intervals: Intervals | None = None
    history: Panel | None = None
    form: Form = Form()
    wide: str | None = None

    def read(self, df: pd.DataFrame, mode: str) -> Panel:
        """Read a frame, and note whether it is wide."""
        panel = self.form.read(df, mode, self.freq, self.fill_missing)
        self.wide = self.form.wide_time(df) if self.form.is_wide(df) else None
        return panel

    def panel_of(self, df: pd.DataFrame | None) -> Panel:
        """Read the series to forecast, or take those of `fit`."""
        run = self.trained()
        if df is None and self.history is None:
            raise UserError("give df: a loaded forecaster has no series of its own")
        return self.history if df is None else run.arranged(self.read(df, run.mode))

    def outputs(
        self, panel: Panel, levels: Sequence[float] | None, recalibrate: bool = False
    ) -> dict[str, np.ndarray]:
        """Forecast a panel: `[tables, h, channels]` in original units, by column of a table."""
        if isinstance(levels, int | float | str):
            raise UserError(f"level={levels}: give a list, such as [80, 95]")
        panel, run = self.long_enough(panel), self.run
        with self.output():
            looks, forecasts = run.forecast(panel)
            intervals = self.calibration(panel if recalibrate else None) if levels else None
        found = {self.model: forecasts}
        if intervals is not None:
            check_levels(levels, intervals)  # whose warnings do not depend on `verbose`
            for level in levels:
                bounds = intervals.bounds(forecasts, looks, level)
                found |= dict(zip(bounds_of(self.model, level), bounds, strict=True))
        return {name: run.unscaled(panel, values) for name, values in found.items()}

    def calibration(self, panel: Panel | None = None) -> Intervals:
        """Return the intervals of the validation rows, or those of forecasts within a panel."""
        if panel is not None:
            return self.run.calibrate(panel)
        if self.intervals is None:
            raise UserError(
                "level: there are no validation windows to take intervals from: fit with a "
                f"val_size of at least h={self.h}, or predict(df, recalibrate=True)"
            )
        return self.intervals

    def long_enough(self, panel: Panel) -> Panel:
        """Check, or pad, the series to forecast from.

        Raises:
            UserError: one is shorter than the look-back.
        """
        short = [table for table in panel.tables if len(table.values) < self.input_size]
        if short and not self.start_padding_enabled:
            more = f" ({len(short) - 1} more such series)" if len(short) > 1 else ""
            in_memory = isinstance(self.form.source, str)
            option = "start_padding_enabled=True" if in_memory else "--start_padding"
            raise UserError(
                f"{short[0].path}: {len(short[0].values)} rows are fewer than the look-back of "
                f"{self.input_size}{more}; give more rows, or {option}"
            )
        return pad(panel, self.input_size) if short else panel

    def trained(self) -> ExpPanel:
        """Return the trained model.

        Raises:
            UserError: there is none yet.
        """
        if self.run is None:
            raise UserError("this forecaster is not trained yet: call fit, load or from_pretrained")
        return self.run
