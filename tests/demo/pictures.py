"""Takes the screenshots of the status page in health, in docs/images: `make pictures`. Real service and Chromium."""

import os
import sys
from dataclasses import dataclass

from tests.harness.browser import Browser
from tests.harness.processes import PATIENCE
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import private_folder
from tests.harness.watched import TAME, Load, WatchedSandwich

_IMAGES = CHECKOUT / "docs" / "images"
_WATCH = float(os.environ.get("WATCH", "150"))  # seconds of load before the first picture
_PLOTTED = "typeof last === 'object' && last?.plots.times.at(-1) - last?.plots.times[0] >= {seconds}"
_PAUSES = tuple(0.03 + 0.25 * abs((turn % 200) - 100) / 100 for turn in range(200))


@dataclass(frozen=True, slots=True)
class Look:
    """The size and scheme of a window."""

    name: str
    width: int
    height: int
    dark: bool = False


_LOOKS = (Look("desktop", 1280, 1450), Look("dark", 1280, 1000, dark=True), Look("phone", 390, 1300))


def main() -> int:
    """Return the exit status: 0 if no page reported an error."""
    _IMAGES.mkdir(exist_ok=True)
    with private_folder() as folder, WatchedSandwich(folder) as sandwich:
        page = f"http://127.0.0.1:{sandwich.miltscan.exporter_port}/"
        with Load(sandwich, _PAUSES, words=tuple(TAME), every=25), Browser.start() as browser:
            browser.open(page)
            browser.wait_for(_PLOTTED.format(seconds=_WATCH), _WATCH + PATIENCE)
            for look in _LOOKS:
                take(browser, page, look)
    return int(bool(browser.complaints))


def take(browser: Browser, page: str, look: Look) -> None:
    """Take one screenshot."""
    browser.resize(look.width, look.height, dark=look.dark)
    browser.open(page)
    browser.wait_for("document.querySelector('#assessment.ok') !== null")
    browser.wait_for("document.querySelectorAll('#detections tbody tr').length > 1")
    browser.picture(_IMAGES / f"status-{look.name}.png")


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    sys.exit(main())
