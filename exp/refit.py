"""`--refit`: the model that forecasts is trained again, on all rows."""

from argparse import Namespace
from dataclasses import asdict

from data_provider.csv_source import SeriesSource
from data_provider.timestamps import future_dates
from exp.exp_long_term_forecasting import ExpLongTermForecasting
from utils.results import REFIT, RunFolders


class ExpRefit(ExpLongTermForecasting):
    """Train on all rows of the file, for as many epochs as validation chose; then forecast.

    Nothing is held out, so that nothing is scored: the scores of the run are those of the first
    training. Checkpoint and state are files of their own in its folders.

    Args:
        first: the run whose best epoch counts. args, iteration: of that run.
    """

    def __init__(self, first: ExpLongTermForecasting, args: Namespace, iteration: int):
        self.first, self.intervals = first.folders, first.intervals
        super().__init__(
            Namespace(**vars(args) | {"train_epochs": first.progress.best.epoch}), iteration
        )

    def make_folders(self, trained: dict | None, writes: bool) -> RunFolders:
        return self.first.of_part(REFIT)

    def prepare_data(self) -> None:
        self.source = source = SeriesSource(self.args)
        self.note_files(source)
        self.n_channels = len(source.columns)
        self.train_set = source.all_rows().to(self.device)
        self.future = future_dates(source.table, self.args.pred_len)
        self.tail = source.tail(self.future, self.train_set.scaler).to(self.device)
        print(
            f"refit on all rows of {source.table.path}: windows: {len(self.train_set):,}; epochs: "
            f"{self.args.train_epochs}, as validation chose"
        )

    def checkpoint_notes(self) -> dict:
        return super().checkpoint_notes() | {"refit": True}

    def add_to_record(self) -> None:
        """Add the refit to the `run.json` of the run."""
        epochs = [asdict(epoch) for epoch in self.progress.history]
        self.folders.add_to_record(
            refit={"checkpoint": str(self.folders.best_checkpoint), "epochs": epochs}
        )
