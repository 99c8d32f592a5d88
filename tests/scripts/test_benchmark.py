"""What the benchmark counts and prints."""

import pytest

from scripts import benchmark


def test_operations_are_those_of_the_method():
    blocks, rest = benchmark.forward_flops(96)
    assert blocks == pytest.approx(85e6, rel=0.01)
    assert rest == pytest.approx(30e6, rel=0.02)
    step = benchmark.training_flops(1792, 96)
    assert step == pytest.approx(1792 * (4 * 85e6 + 3 * 30e6) + 3 * 4 * 500 * 768**2, rel=0.01)
    assert benchmark.evaluation_flops(7, 96) / 7 == pytest.approx(85e6 + 11.3e6, rel=0.01)


def test_unknown_case(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmark.py", "--only", "nothing"])
    with pytest.raises(SystemExit) as end:
        benchmark.main()
    assert end.value.code == 2
    assert "there are train, evaluate" in capsys.readouterr().err
