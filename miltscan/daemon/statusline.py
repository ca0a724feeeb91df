"""The line that `systemctl status` shows: what the service serves, and why it is degraded, in the words of /readyz."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.exporter.health import unready
from miltscan.processes import notify
from miltscan.status.page import numbers

_INTERVAL = 5.0  # seconds between two looks at the metrics, which cost some milliseconds


@dataclass(slots=True)
class StatusLine:
    """Keeps the service manager's status line up to date; without a service manager it does nothing.

    `serves` returns its first part, `settings` those in force; `folder` holds the metrics.
    """

    serves: Callable[[], str]
    settings: Callable[[], Settings]
    folder: Path
    _sent: str = ""
    _due: float = 0.0

    def announce(self) -> None:
        """Report that the service is ready: to be degraded is no reason to wait, as clients receive 451 by policy."""
        self._sent = self._line()
        notify.ready(self._sent)

    def refresh(self) -> None:
        """Report a line that has changed; cheap between two intervals. Call `announce` first."""
        now = time.monotonic()
        if not self._sent or now < self._due or not notify.wanted():
            return
        self._due = now + _INTERVAL
        line = self._line()
        if line != self._sent:
            self._sent = line
            notify.update_status(line)

    def _line(self) -> str:
        settings, reasons = self.settings(), list[str]()
        if notify.wanted():
            # if the metrics cannot be read, /metrics reports that, and mail must not stop because of it
            with suppress(Exception):
                reasons = [one.line for one in unready(numbers(self.folder), settings, time.time())]
        return "; degraded: ".join(filter(None, (self.serves(), "; ".join(reasons))))
