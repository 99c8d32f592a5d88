"""Options of a run on the CSV made on the spot, and its splits."""

import pytest

from data_provider.splits import Splits, chosen_series, read_data
from run import parse_args
from utils.configuration import Configuration

LINE = (
    "--task_name long_term_forecast --is_training 1 --model_id x --model DLinear --data custom "
    "--seq_len 24 --label_len 6 --pred_len 8 --target OT"
)


@pytest.fixture
def arguments(synthetic_csv):
    def build(**more) -> Configuration:
        paths = ["--root_path", str(synthetic_csv.parent), "--data_path", synthetic_csv.name]
        return parse_args([*LINE.split(), *paths]).replace(**more)

    return build


@pytest.fixture
def splits(arguments):
    """The splits of a run with some other options."""

    def build(**more) -> Splits:
        args = arguments(**more)
        panel = read_data(args)
        return Splits(panel.only(chosen_series(panel, args)), args)

    return build
