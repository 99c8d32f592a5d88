"""The same command gives the same bytes."""

import pytest
import torch

from run import EXPERIMENTS, main
from tests.exp.small_runs import argv, differ, experiment, left, trained


@pytest.fixture(autouse=True)
def lenient():
    """Leave strict mode as it was found, and the number of threads too."""
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.mark.parametrize("task", EXPERIMENTS)
def test_equal_bytes_and_strict_mode(small_data, workdir, reference, task):
    """CALF's in forecasting; in other tasks a quick model, as data are the task's."""
    more = () if task == "long_term_forecast" else ("--model", "DLinear")
    expected = reference(task, *more)
    assert not torch.are_deterministic_algorithms_enabled()
    assert main(argv(task, small_data, *more, "--deterministic")) == 0
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    strict = left(experiment(task, small_data, *more))
    assert differ(strict, expected) == ["test score"]  # which is no file
    if more:
        other = trained(task, small_data, *more, "--seed", "3")
        assert differ(other, expected)
