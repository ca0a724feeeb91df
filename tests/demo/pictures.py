"""Takes the pictures of the status page in docs/images: `make pictures`. A real service under load, a real Chromium."""

import os
import sys
import time
from pathlib import Path

from tests.harness.browser import Browser
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import private_folder
from tests.harness.watched import TAME, Load, WatchedSandwich

_IMAGES = CHECKOUT / "docs" / "images"
_WATCH = float(os.environ.get("WATCH", "150"))  # seconds of load before the first picture
_PAUSES = tuple(0.03 + 0.25 * abs((turn % 200) - 100) / 100 for turn in range(200))


def main() -> int:
    """The exit status."""
    _IMAGES.mkdir(exist_ok=True)
    with private_folder() as folder, WatchedSandwich(folder, {"limits": {"scan_timeout": "30s"}}) as sandwich:
        url = f"http://127.0.0.1:{sandwich.miltscan.exporter_port}/"
        with Load(sandwich, _PAUSES, words=tuple(TAME), every=25) as load, Browser.start() as browser:
            time.sleep(_WATCH)
            for name, width, dark in (("desktop", 1280, False), ("dark", 1280, True), ("phone", 390, False)):
                _take(browser, url, _IMAGES / f"status-{name}.png", width, dark=dark)
            sandwich.clamd.stop()
            browser.resize(1280, 900)
            browser.wait_for("document.querySelector('#verdict.error') !== null && document.querySelectorAll('#errors tbody tr').length > 1")
            time.sleep(12)
            _take(browser, url, _IMAGES / "status-down.png", 1280, height=1150)
            print(f"{load.sent} messages, complaints: {browser.complaints}")  # noqa: T201 - a program's output
    return 0


def _take(browser: Browser, url: str, file: Path, width: int, *, dark: bool = False, height: int = 0) -> None:
    browser.resize(width, height or 900, dark=dark)
    browser.open(url)
    browser.wait_for("document.querySelector('#verdict.ok, #verdict.error') !== null")
    browser.resize(width, height or browser.evaluate("document.documentElement.scrollHeight"), dark=dark)
    time.sleep(1)
    browser.picture(file)


if __name__ == "__main__":
    os.chdir(CHECKOUT)
    sys.exit(main())
