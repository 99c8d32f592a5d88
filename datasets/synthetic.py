"""Write an ETT-like CSV of synthetic series: `python datasets/synthetic.py --output FILE`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.command_line import Parser, guarded, whole


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        prog="python datasets/synthetic.py",
        description="Write an ETT-like CSV of synthetic series.",
    )
    parser.add_argument("--output", required=True, help="file to write")
    parser.add_argument("--rows", type=whole(1), default=5000, help="hours (default 5000)")
    parser.add_argument("--channels", type=whole(1), default=7, help="channels (default 7)")
    parser.add_argument("--seed", type=whole(), default=2021, help="default 2021")
    args = parser.parse_args(argv)

    def run() -> None:
        from data_provider.synthetic import synthetic_ett
        from utils.files import whole_file

        with whole_file(args.output) as part:
            synthetic_ett(args.rows, args.channels, args.seed).to_csv(part, index=False)
        print(f"{args.output}: {args.rows} rows, {args.channels} channels")

    return guarded(run)


if __name__ == "__main__":
    sys.exit(main())
