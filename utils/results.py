"""Where a run leaves its results: the folders and files of the neighbouring libraries."""

import json
import os
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.files import NpyWriter, whole_file


def settings_string(args: Namespace, iteration: int) -> str:
    """Name a run: its folders and its heading in the results file.

    Raises:
        UserError: a part of the name would lead out of its folder.
    """
    setting = (
        f"{args.task_name}_{args.model_id}_{args.model}_{args.data}_ft{args.features}"
        f"_sl{args.seq_len}_ll{args.label_len}_pl{args.pred_len}_dm{args.d_model}"
        f"_nh{args.n_heads}_el{args.e_layers}_dl{args.d_layers}_df{args.d_ff}_fc{args.factor}"
        f"_eb{args.embed}_dt{args.distil}_{args.des}_gpt{args.gpt_layers}_{iteration}"
    )
    if any(sign in setting for sign in "/\\\0\n"):
        raise UserError("--model_id, --des and the like name a folder: no slashes, no line breaks")
    return setting


class RunFolders:
    """The places of one run, named by its setting, below the working folder.

    Args:
        setting: the settings string. checkpoints: the folder of `--checkpoints`.
    """

    def __init__(self, setting: str, checkpoints: str | Path):
        self.setting = setting
        self.checkpoint = Path(checkpoints) / setting / "checkpoint.safetensors"
        self.results = Path("results") / setting
        self.plots = Path("test_results") / setting

    def create(self, task_name: str, training: bool) -> None:
        """Make the folders, so that what can't be written to is found out before training.

        Plots of an earlier run of the same setting are removed.

        Raises:
            UserError: a folder can't be made or written to, or the results file can't.
        """
        self.results_file = Path(f"results_{task_name}.txt")
        try:
            existed = self.results_file.exists()
            with self.results_file.open("ab"):
                pass
            if not existed:
                self.results_file.unlink()
        except OSError as error:
            raise UserError(f"{self.results_file}: can't write there: {error.strerror}") from error
        folders = [self.results, self.plots, *([self.checkpoint.parent] if training else [])]
        for folder in folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise UserError(f"{folder}: can't write there: {error.strerror}") from error
        if (self.results / "run.json").exists():
            print(f"{self.results} holds results of an earlier run, which this one replaces")
        for plot in self.plots.glob("*.png"):
            plot.unlink()

    @contextmanager
    def arrays(self, **shapes: tuple[int, ...]) -> Iterator[dict[str, NpyWriter]]:
        """Open `NAME.npy` for each name and shape, to be written batch by batch, whole or not."""
        with ExitStack() as stack:
            writers = {}
            for name, shape in shapes.items():
                part = stack.enter_context(whole_file(self.results / f"{name}.npy"))
                file = stack.enter_context(part.open("wb"))
                writers[name] = NpyWriter(file, shape)
            yield writers

    def save_metrics(self, values: list[float]) -> None:
        """Write `metrics.npy` in the order given."""
        with whole_file(self.results / "metrics.npy") as part, part.open("wb") as file:
            np.save(file, np.array(values, dtype=np.float32))

    def save_record(self, record: dict) -> None:
        """Write `run.json`, the account of the run."""
        with whole_file(self.results / "run.json") as part:
            part.write_text(json.dumps(record, indent=2, default=str) + "\n")

    def append_result(self, scores: dict[str, float]) -> None:
        """Append the setting, a line of scores and an empty line to `results_<task>.txt`."""
        line = ", ".join(f"{name}:{value}" for name, value in scores.items())
        text = f"{self.setting}\n{line}\n\n".encode()
        # one write in append mode, so that runs side by side do not mix their lines
        handle = os.open(self.results_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, text)
        finally:
            os.close(handle)
