"""The page of the report in a browser, where one is installed."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.conftest import HANG
from tests.utils.report_runs import leave_run, several_models
from utils.report import main

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# collects errors from the start, and at the end clicks every heading and measures
BEFORE = """<script>window.found = [];
addEventListener("error", event => found.push(String(event.message)));
addEventListener("securitypolicyviolation", event => found.push(event.blockedURI));</script>"""
AFTER = """<script>
const first = document.querySelector("table"), texts = () =>
  Array.from(first.tBodies[0].rows, row => row.cells[2].textContent);
const orders = [texts()], heading = first.querySelectorAll("th button")[2];
for (let i = 0; i < 3; i++) { heading.click(); orders.push(texts()); }
for (const button of document.querySelectorAll("th button")) button.click();
for (const folded of document.querySelectorAll("details")) folded.open = true;
const result = { errors: found, orders: orders, width: innerWidth,
  content: document.documentElement.scrollWidth,
  dark: matchMedia("(prefers-color-scheme: dark)").matches,
  paper: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color };
document.body.dataset.result = JSON.stringify(result);
</script></body>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(BROWSERS)}")
    return found


def opened(browser: str, page: Path, width: int, *options: str) -> dict:
    """Open the page in a window of this width; returns what `AFTER` measured."""
    text = page.read_text()
    probe = page.with_name("probe.html")
    # in a frame, because browsers have a least width of windows
    probe.write_text(text.replace("<head>", "<head>" + BEFORE).replace("</body>", AFTER))
    framed = page.with_name("framed.html")
    framed.write_text(
        f'<iframe src="probe.html" style="width:{width}px;height:900px;border:0"></iframe><script>'
        "addEventListener('load', () => { document.body.dataset.result = "
        "document.querySelector('iframe').contentDocument.body.dataset.result; });</script>"
    )
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"),
        *(f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=5000", *options),
        *("--window-size=1500,1000", "--dump-dom", framed.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=HANG, check=True)
    (result,) = re.findall(r'data-result="([^"]*)"', done.stdout)
    return json.loads(unescape(result))


@pytest.mark.parametrize(("width", "dark"), [(380, True), (1400, False)])
def test_the_page_in_a_browser(workdir, browser, width, dark):
    several_models(workdir)
    leave_run(workdir, "CALF", 0.4, "long", learning_rate=0.1, dataset="a" * 80, data="custom")
    assert main([]) == 0
    options = ["--blink-settings=preferredColorScheme=0"] if dark else []
    result = opened(browser, workdir / "report" / "report.html", width, *options)
    assert result["errors"] == []
    assert result["width"] == width
    assert result["content"] <= width  # tables scroll in their boxes
    assert result["dark"] == dark
    assert (result["paper"], result["ink"]) == (
        ("rgb(22, 24, 27)", "rgb(230, 230, 230)")
        if dark
        else ("rgb(255, 255, 255)", "rgb(28, 28, 28)")
    )
    given, ascending, descending, again = result["orders"]
    assert given == again
    numbers = [float(text.split()[0]) for text in ascending if text[0].isdigit()]
    assert numbers == sorted(numbers)
    numbers = [float(text.split()[0]) for text in descending if text[0].isdigit()]
    assert numbers == sorted(numbers, reverse=True)
    assert given != ascending != descending
