"""Do the runs of a list, and then the report: `python -m scripts.reproduce LIST`.

What is done is not done again, what was interrupted is resumed: see docs/reproduce.md.

Exit codes: 0 all runs are done; 1 a run failed, or the report; 2 the list or an option is wrong;
130, 143 after a signal.
"""

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.reproduction.lists import RunList, read_list, ready_made
from scripts.reproduction.plan import Plan
from utils.command_line import Parser, guarded, split_options, whole


def main(argv: list[str] | None = None) -> int:
    """Run the script; returns its exit code; see above."""
    own, options = split_options(sys.argv[1:] if argv is None else argv)
    parser = Parser(
        prog="python scripts/reproduce.py",
        usage="python -m scripts.reproduce LIST [--dry-run] [--jobs N] [-- options of run.py]",
        description="Do the runs of a list that are not done yet, then write the report.",
    )
    parser.add_argument("list", nargs="?", help="a ready-made list, or a TOML or YAML file")
    parser.add_argument("--list", action="store_true", dest="show", help="name the lists")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, start nothing")
    parser.add_argument("--jobs", type=whole(1), help="runs at a time (default 1)")
    parser.add_argument("--devices", help="GPUs, such as 0,1: a run at a time on each")
    parser.add_argument("--seeds", type=_seeds, help="such as 2021,2022: of every run")
    parser.add_argument(
        "--published", action="store_true", help="count runs in docs/results as done, too"
    )
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    args = parser.parse_args(own)
    if not (args.list or args.show):
        parser.error("name a list: --list shows those that there are")

    def reproduce() -> int:
        if args.show:
            for run_list in map(read_list, ready_made()):
                print(f"{run_list.name}: {len(run_list.runs)} runs: {run_list.description}")
            return 0
        run_list = read_list(args.list, args.seeds, options)
        if not args.dry_run:
            return do(run_list, args.jobs, args.devices, args.published)
        plan = Plan(run_list, args.published)
        plan.print()
        plan.check(args.jobs or 1)
        return 0

    return guarded(reproduce, args.debug)


def _seeds(text: str) -> list[int]:
    return [whole()(item) for item in text.split(",")]


def do(run_list: RunList, jobs: int | None, devices: str | None, published: bool) -> int:
    """Do what is left of a list, then write the report; returns the exit code."""
    from scripts.reproduction.work import Work, environments, locked

    total = len(run_list.runs)
    failed = []
    with locked(run_list.name) as lock:
        plan = Plan(run_list, published)
        if unreadable := plan.records.unreadable:
            print(
                f"runs without a readable command count as not done: {len(unreadable)}; "
                f"the first is {unreadable[0]}",
                file=sys.stderr,
            )
        print(f"{plan.name}: {total - len(plan.left)} of {total} runs are done", flush=True)
        if plan.left:
            places = environments(jobs, devices, plan)
            plan.check(len(places))
            work = Work(plan, places, lock)
            work.do()
            failed = work.failed
            print(f"{plan.name}: {total - len(plan.left)} of {total} runs are done")
    for run, why in failed:
        print(f"{plan.number(run):4} failed: {run}: {why}", file=sys.stderr)
    return write_report(plan) or (1 if failed else 0)


def write_report(plan: Plan) -> int:
    """Write the report of the list's runs, if any is done; returns its exit code."""
    from utils import report

    found = [record.path for run in plan.runs if (record := plan.records.of(run))]
    folders = {path.parent for path in found if path.name == "run.json"}
    folders |= {path.parent for path in found if path.parent.name == plan.name}  # published
    if not folders:
        return 0
    return report.main([*sorted(map(str, folders)), "--output", f"report/{plan.name}"])


if __name__ == "__main__":
    sys.exit(main())
