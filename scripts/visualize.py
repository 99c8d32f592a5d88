"""Draw the figures of the method from a checkpoint: `python -m scripts.visualize --help`."""

import argparse
import sys
from pathlib import Path

from run import configure_openmp
from utils.command_line import Parser, guarded, switch, whole

FIGURES = ("tsne", "attention", "distance", "forecast", "steps")  # of scripts/figures.py


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="python -m scripts.visualize",
        description="Draw the figures of the method, as PNG and PDF (docs/report.md).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    path = {"type": Path, "metavar": "PATH"}
    parser.add_argument(
        "--checkpoint", required=True, **path,
        help="a checkpoint of run.py, or the results folder of a run",
    )  # fmt: skip
    parser.add_argument(
        "--against", **path,
        help="a checkpoint of GPT4TS on the same data, for tsne, forecast and steps; without it "
        "tsne shows an untrained projection of patches",
    )  # fmt: skip
    parser.add_argument(
        "--figures", nargs="+", choices=FIGURES, help="what to draw; by default all that there is"
    )
    parser.add_argument(
        "--windows", nargs="+", type=whole(), default=[0], help="test windows of forecast, from 0"
    )
    parser.add_argument("--output", type=Path, default=Path("figures"), help="folder to write to")
    parser.add_argument("--root_path", help="other data: their folder")
    parser.add_argument("--data_path", help="other data: the file in that folder")
    parser.add_argument("--seed", type=whole(0, 2**31), default=2021, help="of the t-SNE")
    parser.add_argument("--use_gpu", type=switch, default=True, help="use CUDA where there is any")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    args = parser.parse_args(argv)

    def draw() -> None:
        configure_openmp()
        from scripts import figures  # with PyTorch, which takes seconds to import

        source = figures.Source.read(args.checkpoint, args)
        against = args.against and figures.Source.read(args.against, args)
        if against is not None:
            source.check_comparable(against)
        for name in dict.fromkeys(args.figures or FIGURES):
            try:
                print(*figures.FIGURES[name](source, against, args))
            except figures.LacksError as error:
                if args.figures:
                    raise
                print(f"left out: {error}")

    return guarded(draw, args.debug)


if __name__ == "__main__":
    sys.exit(main())
