"""What differs between the repetitions of `--itr`."""

from exp.exp_classification import ExpClassification
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from run import parse_args
from tests.exp.small_runs import argv


def fingerprints(given: list[str]) -> list[str]:
    runs = [ExpLongTermForecasting(parse_args(given), iteration) for iteration in (0, 1, 1)]
    return [run.objective.notes["backbone"]["fingerprint"] for run in runs]


def test_random_backbones(small_data, workdir):
    """Each repetition draws its own, which `--llm_seed` fixes."""
    random = argv("long_term_forecast", small_data, "--llm_weights", "random", "--itr", "2")
    first, second, again = fingerprints(random)
    assert first != second == again
    assert len(set(fingerprints([*random, "--llm_seed", "5"]))) == 1
    other = argv("long_term_forecast", small_data, "--llm_weights", "random", "--seed", "2022")
    assert fingerprints(other)[0] == second
    assert len(set(fingerprints(random[:-4]))) == 1  # a pre-trained one


def test_held_out_samples(small_data, workdir):
    splits = [
        ExpClassification(
            parse_args(argv("classification", small_data)), iteration
        ).val_set.tensors[0]
        for iteration in (0, 1)
    ]
    assert splits[0].shape == splits[1].shape
    assert not splits[0].equal(splits[1])
