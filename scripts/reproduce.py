"""Run a list of experiments, then write the report: `python -m scripts.reproduce LIST`.

Finished runs are skipped, and interrupted ones resumed (docs/reproduce.md).

Exit codes: 0 all runs are finished; 1 a run or the report failed; 2 the list or an option is wrong;
130 or 143 after a signal.
"""

import sys

from scripts.reproduction import work
from scripts.reproduction.lists import RunList, read_list, ready_made
from scripts.reproduction.plan import Plan
from utils.command_line import Parser, guarded, split_options, whole


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns its exit code; see above."""
    own, options = split_options(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python -m scripts.reproduce",
        usage="python -m scripts.reproduce LIST [--dry-run] [--jobs N] [-- options of run.py]",
        description="Run what is left of a list, then write the report.",
    )
    parser.add_argument("list", nargs="?", help="a ready-made list, or a TOML file")
    parser.add_argument(
        "--list", action="store_true", dest="show", help="print the ready-made lists"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, start nothing")
    parser.add_argument("--jobs", type=whole(1), help="concurrent runs (default 1)")
    parser.add_argument("--devices", help="GPUs, such as 0,1: one run on each")
    parser.add_argument("--seeds", type=_seeds, help="of every run, such as 2021,2022")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    args = parser.parse_args(own)
    if not (args.list or args.show):
        parser.error("name a list: --list prints them")

    def reproduce() -> int:
        if args.show:
            for run_list in map(read_list, ready_made()):
                print(f"{run_list.name}: {len(run_list.runs)} runs: {run_list.description}")
            return 0
        run_list = read_list(args.list, args.seeds, options)
        if not args.dry_run:
            return do(run_list, args.jobs, args.devices)
        plan = Plan(run_list)
        plan.print()
        plan.check()
        return 0

    return guarded(reproduce, args.debug)


def _seeds(text: str) -> list[int]:
    return [whole()(item) for item in text.split(",")]


def do(run_list: RunList, jobs: int | None, devices: str | None) -> int:
    """Run what is left of a list, then write the report; returns the exit code."""
    failed = {}
    with work.locked(run_list.name) as lock:
        plan = Plan(run_list)
        print(plan.status(), flush=True)
        if plan.left:
            plan.check()
            failed = work.do(plan, work.environments(jobs, devices, plan), lock)
            print(plan.status())
    for run, why in failed.items():
        print(f"{plan.number(run):4} failed: {run}: {why}", file=sys.stderr)
    return write_report(plan) or (1 if failed else 0)


def write_report(plan: Plan) -> int:
    """Write the report of the list's finished runs; returns its exit code."""
    from utils import report

    folders = {str(record.path.parent) for run in plan.runs if (record := plan.record(run))}
    if not folders:
        return 0
    return report.main([*sorted(folders), "--output", f"report/{plan.name}"])


if __name__ == "__main__":
    sys.exit(main())
