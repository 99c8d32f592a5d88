"""Look-back, horizon and split of a file, where nobody gave them."""

from pathlib import Path
from statistics import median

from data_provider.calendars import mark_frequency
from data_provider.checks import require_data_file
from data_provider.panel import Reading
from data_provider.reader import read_panel
from data_provider.splits import split_borders
from utils.bars import quiet

SPLIT = (0.7, 0.15, 0.15)
# look-back and horizon by the unit of the step: four days of hours for one, a year of weeks for two
# months, …
LENGTHS = {
    **dict.fromkeys("sth", (96, 24)),
    "d": (90, 14),
    "b": (60, 10),
    "w": (52, 8),
    "m": (36, 12),
    "q": (16, 4),
    "y": (10, 3),
}


def guess_options(options: object) -> tuple[dict[str, object], str]:
    """Guess options of a forecast by the rows of its file (docs/own_data.md); what is printed and
    warned of is left to the run, which reads it again.

    Args:
        options: of a command line; `split` counts if it is there.

    Returns:
        `seq_len`, `pred_len`, `split`, and `freq`, the unit of the step; and the reason in words.

    Raises:
        UserError: the file can't be read.
    """
    path = Path(options.root_path) / options.data_path
    require_data_file(path, "--data_path")
    with quiet():
        panel = read_panel(path, Reading.of(options))
    rows = int(median(len(table.dates) for table in panel.tables))
    unit = mark_frequency(None, panel.tables[0].dates, panel.clock.counts_steps)
    split = options.split or SPLIT
    borders = split_borders("custom", rows, 0, split=split)
    train, *held_out = (len(borders[name]) for name in ("train", "val", "test"))
    look_back, horizon = LENGTHS[unit]
    horizon = max(1, min(horizon, min(held_out) // 2))
    look_back = max(1, min(look_back, train // 2 - horizon))
    found = {"seq_len": look_back, "pred_len": horizon, "split": split, "freq": unit}
    return found, f"{rows:,} rows, unit of the step {unit}"
