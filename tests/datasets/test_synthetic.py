"""The generator of ETT-like data."""

import numpy as np
import pandas as pd
import pytest

from data_provider.csv_file import read_series
from datasets.synthetic import main, synthetic_ett


def test_looks_like_ett():
    frame = synthetic_ett(rows=2000)
    assert list(frame.columns) == ["date", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]
    pd.testing.assert_frame_equal(frame, synthetic_ett(rows=2000))
    assert not frame.equals(synthetic_ett(rows=2000, seed=1))
    values = frame.iloc[:, 1:].to_numpy()
    values = (values - values.mean(0)) / values.std(0)
    daily = (values[24:] * values[:-24]).mean(0)
    half = (values[6:] * values[:-6]).mean(0)
    assert (daily > 0.3).all()
    assert (daily > half).sum() >= 6


def test_command(tmp_path, capsys):
    path = tmp_path / "new" / "x.csv"
    assert main(["--output", str(path), "--rows", "50", "--channels", "9"]) == 0
    table = read_series(path)
    assert table.values.shape == (50, 9)
    assert np.isfinite(table.values).all()
    assert main(["--output", "/dev/null/x.csv"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit):
        main(["--output", str(path), "--rows", "0"])
