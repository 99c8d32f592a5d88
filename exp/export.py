"""A trained model as a file that needs none of this project's code:
`python -m exp.export --checkpoint RUN --output model.onnx`."""

import io
import json
import logging
import sys
import warnings
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from timeit import repeat
from typing import TYPE_CHECKING

from exp.forecast import load_forecaster, parser_of
from utils.bars import clock
from utils.command_line import guarded
from utils.errors import UserError, first_line
from utils.files import whole_file

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from exp.exp_long_term_forecasting import ExpLongTermForecasting
    from utils.batch import Batch

Predict = Callable[["np.ndarray"], "np.ndarray"]  # scaled look-backs to scaled forecasts
PACKAGES = {".onnx": ("onnx", "onnxscript", "onnxruntime"), ".pt2": ()}
INPUT, OUTPUT, NOTES = "x", "forecast", "metadata.json"
LARGEST = 2**31 - 2**20  # bytes of an ONNX file with its weights, a message of protobuf
AGREEMENT = 1e-3  # of scaled forecasts, at most; rounding in deep models makes 3e-5
WINDOWS = (1, 32)  # of the batches that are timed
CALLS = 10  # of which the fastest counts


def require_output(path: Path) -> None:
    """Check that a file of this name can be written, with the packages that are installed."""
    if path.suffix.lower() not in PACKAGES:
        raise UserError(f"--output {path}: the ending has to be one of {', '.join(PACKAGES)}")
    if path.is_dir():
        raise UserError(f"--output {path}: a folder, not a file")
    needed = PACKAGES[path.suffix.lower()]
    if not all(map(find_spec, needed)):
        raise UserError(f"an {path.suffix} file needs packages: pip install {' '.join(needed)}")


def metadata(run: "ExpLongTermForecasting") -> dict[str, object]:
    """Describe the model's input and output: names in their order, and what scales them; see
    docs/export.md."""
    args, notes, target = run.args, run.series_notes, run.target
    if "scaler" not in notes:
        raise UserError(f"{run.checkpoint.path} has no scaler, as of an old version: train again")
    columns = notes["columns"]
    return {
        "model": args.model,
        "seq_len": args.seq_len,
        "pred_len": args.pred_len,
        "mode": run.mode,
        "columns": columns,
        "outputs": columns if target is None else [columns[target]],
        "series": notes.get("series", columns),
        **notes["scaler"],
        "step": notes.get("reading", {}).get("step"),
        "about": notes["about"],
    }


def converted(
    run: "ExpLongTermForecasting", x: "Tensor", kind: str, notes: dict[str, object]
) -> bytes:
    """Trace what forecasts windows, and convert it; the model of `run` is changed.

    Args:
        x: windows `[batch, seq_len, channels]`, at least two; a file takes any number.
        kind: .onnx or .pt2. notes: the metadata.
    """
    import torch

    from layers import fast_cpu

    fast_cpu.uninstall(run.objective.model)
    module = run.objective.predictor(run.target)
    size = sum(tensor.nbytes for tensor in module.state_dict().values())
    if kind == ".onnx" and size > LARGEST:
        raise UserError(f"{size / 1e9:.1f} GB are too much for one .onnx file: export a .pt2 file")
    try:
        with torch.no_grad(), quiet(), clock("exporting"):
            batch = torch.export.Dim("batch")
            program = torch.export.export(module, (x,), dynamic_shapes=({0: batch},))
            if kind == ".pt2":
                buffer = io.BytesIO()
                torch.export.save(program, buffer, extra_files={NOTES: json.dumps(notes)})
                return buffer.getvalue()
            onnx = torch.onnx.export(
                program, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
            onnx.rename_axes({onnx.model.graph.inputs[0].shape[0]: "batch"})
            onnx.model.metadata_props.update({k: json.dumps(v) for k, v in notes.items()})
            return onnx.model_proto.SerializeToString()
    except Exception as error:  # of any kind, by any model's code
        raise UserError(
            f"{run.args.model} can't be exported as {kind}: {first_line(error)} (--debug shows "
            "where)"
        ) from error


def load(path: Path, kind: str) -> Predict:
    """Load an exported file; ONNX Runtime gets as many threads as PyTorch."""
    import torch

    if kind == ".pt2":
        with path.open("rb") as file:
            module = torch.export.load(file).module()
        return lambda x: module(torch.from_numpy(x)).numpy()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return lambda x: session.run([OUTPUT], {INPUT: x})[0]


def example(run: "ExpLongTermForecasting", windows: int) -> "Batch":
    """Draw windows at random; refuse a model that depends on time marks or covariates too."""
    import torch

    from utils.batch import Batch

    shape, draw = run.data_shape(), torch.Generator().manual_seed(0)
    if shape.past_covariates or shape.future_covariates:
        raise UserError(f"this {run.args.model} reads covariates: it can't be exported")
    x = torch.randn(windows, shape.seq_len, shape.n_channels, generator=draw)
    batch = Batch(x, channel=run.target)
    if run.objective.uses_marks:
        lengths = (shape.seq_len, min(run.args.label_len, shape.seq_len) + shape.pred_len)
        x_mark, y_mark = (torch.ones(windows, steps, shape.n_marks) for steps in lengths)
        batch = replace(batch, x_mark=x_mark, y_mark=y_mark)
        other = replace(batch, x_mark=0 * x_mark, y_mark=0 * y_mark)
        if not torch.equal(run.evaluation.predict(batch), run.evaluation.predict(other)):
            raise UserError(f"{run.args.model} reads time marks: it can't be exported")
    return batch


def run(args: Namespace) -> None:
    """Export a model, compare the file with the model before it gets its name, and time both."""
    output, kind = Path(args.output), Path(args.output).suffix.lower()
    require_output(output)
    run = load_forecaster(args.checkpoint, verbose=False, use_gpu=False, amp="no").trained()
    batch, notes = example(run, max(WINDOWS)), metadata(run)
    expected, x = batch.scored(run.evaluation.predict(batch)).numpy(), batch.x.numpy()
    size = 4 * run.objective.parameter_counts()["in_memory"]
    lines = [speed("PyTorch", size, lambda n: run.evaluation.predict(batch[:n]))]
    content = converted(run, batch.x, kind, notes)
    with whole_file(output) as part:
        part.write_bytes(content)
        predict = load(part, kind)
        difference = max(abs(predict(x[:n]) - expected[:n]).max() for n in WINDOWS)
        if not difference < AGREEMENT:
            raise UserError(
                f"{notes['model']} can't be exported as {kind}: forecasts differ from PyTorch's "
                f"by {difference:.1g}"
            )
        lines.append(speed(kind, len(content), lambda n: predict(x[:n])))
    print(
        f"{output}: {notes['model']}, {notes['seq_len']} steps of {x.shape[2]} channels to "
        f"{notes['pred_len']}; scaled forecasts differ from PyTorch's by {difference:.0e} at most"
    )
    print("\n".join(lines))


def speed(name: str, size: int, call: Callable[[int], object]) -> str:
    """Format the size in bytes and the speed of `call`, which forecasts so many windows."""
    one, many = (
        1000 * min(repeat(partial(call, windows), number=1, repeat=CALLS)) / windows
        for windows in WINDOWS
    )
    return (
        f"{name:8} {size / 1e6:8.1f} MB {one:9.2f} ms a window, {many:.2f} in batches of "
        f"{WINDOWS[1]}"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out what PyTorch's exporters log and warn of."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = parser_of(
        "export",
        "Write the part of a trained model that forecasts, for ONNX Runtime or torch.export, with "
        "scaler and column names in its metadata.",
    )
    parser.add_argument("--output", required=True, help="a file, .onnx or .pt2")
    args = parser.parse_args(argv)
    return guarded(lambda: run(args), args.debug)


if __name__ == "__main__":
    sys.exit(main())
