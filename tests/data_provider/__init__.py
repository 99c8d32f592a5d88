"""Tests of the data readers, and what several of them use."""

from pathlib import Path

import numpy as np
import pandas as pd

from data_provider.panel import Panel

DAYS = pd.date_range("2024-01-01", periods=20, freq="D")


def written(folder: Path, content: str | bytes | pd.DataFrame, name="x.csv", **options) -> Path:
    """Write a file; `options` are those of `to_csv`."""
    path = folder / name
    if isinstance(content, pd.DataFrame):
        content = content.to_csv(index=False, **options)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def long(series: dict) -> pd.DataFrame:
    """A long frame of `{id: timestamps}`, values counted from 0."""
    parts = [
        pd.DataFrame({"ds": stamps, "y": np.arange(len(stamps), dtype=float)}).assign(
            unique_id=pd.Series([name] * len(stamps), dtype=object)
        )
        for name, stamps in series.items()
    ]
    return pd.concat(parts, ignore_index=True)


def future(panel: Panel, steps: int, number: int = 0) -> pd.Index:
    """Continue the timestamps of a table as a frame has them."""
    return panel.clock.stamps(panel.future(panel.tables[number], steps))
