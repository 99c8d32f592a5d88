"""The command that writes ETT-like data."""

import numpy as np
import pytest

from data_provider.reader import read_panel
from tests.datasets import load_command

main = load_command("synthetic").main


def test_command(tmp_path, capsys):
    path = tmp_path / "new" / "x.csv"
    assert main(["--output", str(path), "--rows", "50", "--channels", "9"]) == 0
    (table,) = read_panel(path).tables
    assert table.values.shape == (50, 9)
    assert np.isfinite(table.values).all()
    assert main(["--output", "/dev/null/x.csv"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(SystemExit):
        main(["--output", str(path), "--rows", "0"])
