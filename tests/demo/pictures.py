"""Takes the screenshots of the status page in docs/images: `make pictures`. Uses a real service and Chromium."""

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
_OUTAGE = "last.plots.rates.clean.slice(-2).every((rate) => rate === 0)"  # visible in the plots
_WAITING = "last.plots.queues.incoming.at(-1) >= 40"  # messages, visible in the plot
_PAUSES = tuple(0.03 + 0.25 * abs((turn % 200) - 100) / 100 for turn in range(200))


@dataclass(frozen=True, slots=True)
class Look:
    """The size and scheme of a window."""

    name: str
    width: int
    height: int
    dark: bool = False


_LOOKS = (Look("desktop", 1280, 1450), Look("dark", 1280, 1000, dark=True), Look("phone", 390, 1300))
_DOWN = Look("down", 1280, 1000)
_NOT_DELIVERED = Look("not-delivered", 1280, 620)


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
            sandwich.delivery.stop()
            browser.wait_for("document.querySelector('#assessment.error') !== null")
            browser.wait_for(_WAITING)
            take(browser, page, _NOT_DELIVERED)
            sandwich.delivery.start()
            sandwich.delivery.wait_ready()
            browser.wait_for("document.querySelector('#assessment.error') === null")
            sandwich.clamd.stop()
            browser.wait_for("document.querySelector('#assessment.error') !== null")
            browser.wait_for(_OUTAGE)
            take(browser, page, _DOWN)
    return int(bool(browser.complaints))


def take(browser: Browser, page: str, look: Look) -> None:
    """Take one screenshot."""
    browser.resize(look.width, look.height, dark=look.dark)
    browser.open(page)
    browser.wait_for("document.querySelector('#assessment.ok, #assessment.error') !== null")
    browser.wait_for("document.querySelectorAll('#detections tbody tr').length > 1")
    browser.picture(_IMAGES / f"status-{look.name}.png")


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    sys.exit(main())
