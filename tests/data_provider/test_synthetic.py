"""The generator of ETT-like data."""

import pandas as pd

from utils.synthetic import synthetic_ett


def test_resembles_ett():
    frame = synthetic_ett(rows=2000)
    assert list(frame.columns) == ["date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    pd.testing.assert_frame_equal(frame, synthetic_ett(rows=2000))
    assert not frame.equals(synthetic_ett(rows=2000, seed=1))
    values = frame.iloc[:, 1:].to_numpy()
    values = (values - values.mean(0)) / values.std(0)
    daily = (values[24:] * values[:-24]).mean(0)
    quarter = (values[6:] * values[:-6]).mean(0)
    assert (daily > 0.3).all()
    assert (daily > quarter).sum() >= 6
