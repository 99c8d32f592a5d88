"""The version, the citation and the changelog agree."""

import re
import tomllib
from datetime import date

import yaml

from tests.conftest import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
RELEASES = re.findall(
    r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M
)


def test_the_newest_release_is_this_version():
    assert RELEASES[0][0] == VERSION
    assert [version for version, _ in RELEASES] == ["0.2.0", "0.1.0"]
    days = [date.fromisoformat(day) for _, day in RELEASES]
    assert days == sorted(days, reverse=True)


def test_sections_are_those_of_keep_a_changelog_and_retired():
    known = {"Added", "Changed", "Deprecated", "Removed", "Retired", "Fixed", "Security"}
    found = re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert found
    assert set(found) <= known


def test_the_citation():
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= found.keys()  # required
    assert (found["version"], found["date-released"]) == RELEASES[0]
    paper = found["preferred-citation"]
    assert {"type", "title", "authors"} <= paper.keys()
    readme = " ".join((ROOT / "README.md").read_text().replace(">", "").split())
    assert paper["title"] in readme
    assert paper["url"] in readme
