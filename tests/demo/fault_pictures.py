"""Makes docs/status-faults.md and its pictures: what page and `miltscan status` show in each fault. `make pictures`."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from tests.demo.faults import FAULTS, Fault, send, start
from tests.harness.browser import Browser
from tests.harness.processes import PATIENCE
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import private_folder
from tests.harness.watched import WatchedSandwich

_DOCS = CHECKOUT / "docs"
_WIDTH = 1280  # CSS pixels
_COLUMNS = 110  # of the terminal
_WITHOUT_BAR = "document.documentElement.style.overflow = 'hidden'"  # that of the window, which is not scrolled
_BELOW_THE_CARDS = "Math.ceil(document.getElementById('tiles').getBoundingClientRect().bottom) + 10"
_SHOWN = "last?.assessment.details.some((line) => line.includes('{text}')) && last.at - last.assessment.since >= {age}"
_OLD_ENOUGH = 4  # seconds since the beginning; a worker that hangs is replaced soon
_HEAD = """\
# Faults on the status page

What the [status page](status.md) and `miltscan status` show in each of {count} faults: what is wrong, since when, and
what to do. `make pictures` causes them in a real sandwich, in which paths differ from yours, and writes this page.

| fault | the line at the top |
| --- | --- |
"""


def main() -> int:
    """Return the exit status: 0 if no page reported an error."""
    rows, sections = [], []
    with private_folder() as folder, WatchedSandwich(folder) as sandwich, Browser.start() as browser:
        for fault in FAULTS:
            start(sandwich)
            send(sandwich, clean=20, infected=2)
            with fault.caused(sandwich):
                verdict = _take(browser, sandwich, fault)
                printed = _printed(sandwich.miltscan.configuration)
            anchor = fault.title.lower().replace(" ", "-")
            rows.append(f"| [{fault.title}](#{anchor}) | {verdict} |\n")
            sections.append(_section(fault, printed))
    (_DOCS / "status-faults.md").write_text(_HEAD.format(count=len(FAULTS)) + "".join([*rows, *sections]))
    return int(bool(browser.complaints))


def _take(browser: Browser, sandwich: WatchedSandwich, fault: Fault) -> str:
    """Take the picture of the head of the page; return the line at the top."""
    browser.resize(_WIDTH, 1000)
    browser.open(f"http://127.0.0.1:{sandwich.miltscan.exporter_port}/")
    browser.wait_for("typeof last === 'object'")
    browser.wait_for(_SHOWN.format(text=fault.shown, age=_OLD_ENOUGH), 2 * PATIENCE)
    browser.evaluate(_WITHOUT_BAR)
    browser.resize(_WIDTH, browser.evaluate(_BELOW_THE_CARDS))
    browser.picture(_DOCS / "images" / f"fault-{fault.name}.png")
    return str(browser.evaluate("last.assessment.text"))


def _printed(configuration: Path) -> str:
    """Return what `miltscan status` prints on a terminal, without colours."""
    master, terminal = os.openpty()
    with ThreadPoolExecutor(1) as reader:
        screen = reader.submit(_read_to_end, master)
        command = [sys.executable, "-m", "miltscan", "status", "--config", str(configuration)]
        subprocess.run(command, stdout=terminal, env={**os.environ, "COLUMNS": str(_COLUMNS)}, check=False)
        os.close(terminal)
        text = screen.result().decode()
    os.close(master)
    return re.sub(r"\x1b\[\d*m", "", text.replace("\r\n", "\n"))


def _read_to_end(master: int) -> bytes:
    screen = b""
    with suppress(OSError):  # EIO at its end
        while True:
            screen += os.read(master, 65536)
    return screen


def _section(fault: Fault, printed: str) -> str:
    lines = "".join(f"    {line}\n" for line in ["$ miltscan status", *printed.splitlines()])
    return f"\n## {fault.title}\n\n![{fault.title.lower()}](images/fault-{fault.name}.png)\n\n{lines}"


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    sys.exit(main())
