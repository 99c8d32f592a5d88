"""The runs that a script of `scripts/` would start."""

import difflib
import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from utils.command_line import one_line
from utils.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def script_file(name: str) -> Path:
    """Return the file of a script such as `long_term_forecasting/ETTh1`.

    Raises:
        UserError: there is none.
    """
    path = SCRIPTS / f"{name.removesuffix('.sh')}.sh"
    if not path.is_file():
        known = sorted(str(p.relative_to(SCRIPTS).with_suffix("")) for p in SCRIPTS.glob("*/*.sh"))
        near = difflib.get_close_matches(name, known, 4) or known
        raise UserError(f"there is no script {name}: there are {', '.join(near)}")
    return path


def runs_of_script(
    name: str, environment: Mapping[str, str], options: Sequence[str]
) -> list[list[str]]:
    """Return the options of `run.py` of each run that a script would start.

    In place of Python `echo` is called, which starts nothing.

    Args:
        name: of the script, relative to `scripts/`.
        environment: its variables, such as `HORIZONS`.
        options: more options for every run.

    Raises:
        UserError: there is no such script, it does not read a variable, or it fails.
    """
    path = script_file(name)
    known = set(re.findall(r"[A-Z_]{3,}", path.read_text()))  # their heads name their variables
    for variable in environment:
        if variable not in known:
            raise UserError(f"the script {name} does not read {variable}")
    done = subprocess.run(
        ["sh", str(path), *map(shlex.quote, options)],
        env={"PATH": os.environ.get("PATH", os.defpath), "PYTHON": "echo"} | dict(environment),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"the script {name}: {one_line(done.stderr) or 'it fails'}")
    runs = []
    for line in done.stdout.splitlines():
        interpreter, program, *run = shlex.split(line)
        if (interpreter, program) != ("-u", "run.py"):
            raise UserError(
                f"the script {name} starts {interpreter} {program}: it must start run.py"
            )
        runs.append(run)
    return runs
