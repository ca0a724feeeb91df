"""Draws the dashboards over the scripted day: `make pictures`, or `python -m tests.panels.draw`.

Twice: of a host with all that a panel can show, and of a default installation. A person looks at each picture. A panel
that cannot be drawn is an error.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness import dashboard, programs
from tests.harness.browser import Browser
from tests.harness.processes import Programs
from tests.harness.programs import CHECKOUT
from tests.harness.prometheus import Prometheus
from tests.harness.sandwich import private_folder
from tests.panels import asking, day

TOOLS = CHECKOUT / ".venv" / ".panels"
PICTURES = TOOLS / "pictures"
_IMAGES = CHECKOUT / "docs" / "images"
_OF_DOCS = {
    "dashboard-dark": "miltscan-0-first-screen-dark",
    "dashboard-mail": "miltscan-1-mail-light",
    "dashboard-sandwich": "miltscan-sandwich-0-first-screen-dark",
    "dashboard-internals": "miltscan-internals-0-first-screen-dark",
}
"""The pictures of docs/dashboard.md."""
_HERE = Path(__file__).parent
_WIDTH = 24 * asking.COLUMN
_ROW = 38


@contextmanager
def scraped(folder: Path, *, default: bool = False) -> Iterator[Prometheus]:
    """A Prometheus that knows the scripted day."""
    data = folder / "prometheus" / "data"
    data.mkdir(parents=True)
    text = folder / "day.txt"
    with text.open("w") as file:
        file.writelines(day.day(default=default))
    command: list[str | Path] = [
        programs.find("promtool"),
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "--quiet",
        text,
        data,
    ]
    subprocess.run(command, check=True)
    with Programs(folder) as owner:
        yield Prometheus.start(owner, 1)


def bundle(folder: Path) -> None:
    """Put the page that draws into a folder; it has all it needs."""
    shutil.copy(_HERE / "index.html", folder)
    shutil.copy(TOOLS / "node_modules" / "uplot" / "dist" / "uPlot.min.css", folder)
    esbuild = TOOLS / "node_modules" / ".bin" / "esbuild"
    subprocess.run(
        [
            esbuild,
            _HERE / "panels.jsx",
            "--bundle",
            "--minify",
            "--log-level=error",
            f"--outfile={folder}/bundle.js",
            "--loader:.js=jsx",
            "--define:process.env.NODE_ENV='production'",
        ],
        check=True,
        env={**os.environ, "NODE_PATH": str(TOOLS / "node_modules")},
    )


def scene(prometheus: Prometheus, board: dict[str, Any], panels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what `panels.jsx` draws; the panels move up to the edge."""
    top = min(panel["gridPos"]["y"] for panel in panels)
    drawn = [
        {
            **panel,
            "gridPos": {**panel["gridPos"], "y": panel["gridPos"]["y"] - top},
            "step": asking.step(panel, day.END - day.BEGIN),
            "results": asking.results(prometheus, panel, day.BEGIN, day.END) if panel["type"] != "row" else [],
        }
        for panel in panels
    ]
    marks = asking.marks(prometheus, board, day.BEGIN, day.END)
    return {"panels": drawn, "marks": marks, "begin": day.BEGIN, "end": day.END, "width": _WIDTH}


def draw(browser: Browser, folder: Path, what: dict[str, Any], file: Path) -> list[str]:
    """Draw one picture; return the errors of its panels."""
    (folder / "scene.js").write_text(f"window.scene = {json.dumps(what)}")
    height = _ROW * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in what["panels"])
    browser.resize(_WIDTH, height, dark=what["scheme"] == "dark")
    browser.open(f"file://{folder}/index.html")
    browser.wait_for("document.title === 'drawn'")
    browser.picture(file)
    errors: list[str] = browser.evaluate("window.errors")
    return errors


def draw_all(folder: Path, browser: Browser, work: Path, prometheus: Prometheus) -> list[str]:
    """Draw each row of each dashboard in both schemes; return the errors of panels."""
    errors = []
    for file in dashboard.FILES:
        board = json.loads(file.read_text())
        for number, (title, panels) in enumerate(dashboard.sections(board)):
            what = scene(prometheus, board, panels)
            for scheme in ("light", "dark"):
                name = f"{file.stem}-{number}-{re.sub('[^a-z]+', '-', title.lower())}-{scheme}.png"
                errors += draw(browser, work, {**what, "scheme": scheme}, folder / name)
    return errors


def main(*, default: bool = False) -> int:
    """Draw everything and renew the pictures of the documentation; return 1 if a panel could not be drawn."""
    folder = PICTURES / ("default" if default else "full")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with private_folder() as work, scraped(work, default=default) as prometheus, Browser.start() as browser:
        bundle(work)
        errors = draw_all(folder, browser, work, prometheus)
    if not default:
        for name, drawn in _OF_DOCS.items():
            shutil.copy(folder / f"{drawn}.png", _IMAGES / f"{name}.png")
    sys.stdout.write("\n".join([f"{len([*folder.iterdir()])} pictures in {folder}", *errors, ""]))
    return int(bool(errors))


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    sys.exit(main() or main(default=True))
