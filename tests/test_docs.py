"""What the pages in `docs/` name exists."""

import ast
import re

import pytest

from tests.conftest import ROOT


def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def rows() -> list[str]:
    lines = (ROOT / "docs" / "protocols.md").read_text().splitlines()
    tables = [line for line in lines if line.startswith("| ") and not line.startswith("| | ")]
    return [line for line in tables if not set(line) <= set("|- ")]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.split("|")[1].strip())
def test_every_row_of_the_protocols_names_its_tests(row):
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 6
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cells[-1])
    assert named
    for path, name in named:
        assert name in functions_of(path), f"{path}::{name}"
    for protocol in ("published", "sound"):
        assert cells[{"published": 2, "sound": 3}[protocol]]
