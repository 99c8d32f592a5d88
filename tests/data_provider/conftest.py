"""Options of a run on the CSV made on the spot, and its splits."""

from argparse import Namespace

import pytest

from data_provider.splits import Splits, chosen_series, read_data, splits_of


@pytest.fixture
def arguments(synthetic_csv):
    def build(**more) -> Namespace:
        defaults = {
            "data": "custom",
            "root_path": str(synthetic_csv.parent),
            "data_path": synthetic_csv.name,
            "features": "M",
            "target": "OT",
            "freq": "h",
            "embed": "timeF",
            "seq_len": 24,
            "label_len": 6,
            "pred_len": 8,
            "percent": 100,
            "batch_size": 32,
            "split": None,
            "protocol": "sound",
            "given": ["target"],
        }
        return Namespace(**{**defaults, **more})

    return build


@pytest.fixture
def splits(arguments):
    """The splits of a run with some other options."""

    def build(**more) -> Splits:
        args = arguments(**more)
        panel = read_data(args)
        return splits_of(panel.only(chosen_series(panel, args)), args)

    return build
