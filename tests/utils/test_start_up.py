"""Slow libraries are imported where they are used, so that programs start quickly."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOW = {"matplotlib", "scipy", "sklearn"}


def test_data_and_utilities_import_no_slow_library():
    files = [*ROOT.glob("data_provider/*.py"), *ROOT.glob("utils/*.py"), ROOT / "pca.py"]
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    ]
    program = f"import sys, {', '.join(modules)}; print({SLOW} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
    assert result.stdout.decode() == "set()\n", result.stderr.decode()
