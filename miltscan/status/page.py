"""The status page in the exporter: samples the metrics at an interval, keeps history and events, serves its paths.

It never waits and has no thread: the exporter's event loop calls `sample` and `recent.read`. It changes nothing in the
service.
"""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from miltscan.config.settings import Settings
from miltscan.status.events import RecentEvents
from miltscan.status.history import History
from miltscan.status.samples import Numbers
from miltscan.status.snapshot import SnapshotInput, snapshot
from miltscan.telemetry.merge import collected

_FRESH = 0.5  # seconds for which a status is sent again, so that many viewers cost no more than two a second

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""Headers of each response: a browser loads nothing from another host and runs no script within a text."""

_FOLDER = Path(__file__).with_name("assets")
_ASSETS = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
API = "/api/status"
PATHS = (*_ASSETS, API)


@dataclass(frozen=True, slots=True)
class Page:
    """A body and its content type."""

    body: bytes
    content_type: str


@dataclass(slots=True)
class StatusPage:
    """The page of one service, from the metrics in `directory`.

    `unready` returns why the service cannot scan, `unproven` how its probes failed, both at a Unix time. `degraded`
    returns what is wrong although it scans.
    """

    directory: Path
    unready: Callable[[Numbers, Settings, float], Sequence[str]]
    unproven: Callable[[Numbers, Settings, float], Sequence[str]]
    degraded: Callable[[Numbers], Sequence[str]]
    history: History = field(default_factory=History)
    recent: RecentEvents = field(default_factory=RecentEvents)
    since: float = field(default_factory=time.time)
    _assets: dict[str, Page] = field(
        default_factory=lambda: {
            path: Page(_FOLDER.joinpath(name).read_bytes(), kind) for path, (name, kind) in _ASSETS.items()
        }
    )
    _cached: tuple[float, Settings, bytes] | None = None

    def sample(self) -> None:
        """Add one point to the history."""
        self.history.add(numbers(self.directory), time.time(), time.monotonic())

    def page(self, path: str, settings: Settings) -> Page:
        """Return the page at one of `PATHS`."""
        if path != API:
            return self._assets[path]
        now = time.monotonic()
        if self._cached is None or now - self._cached[0] > _FRESH or self._cached[1] is not settings:
            self._cached = (now, settings, self._make(settings))
        return Page(self._cached[2], "application/json")

    def _make(self, settings: Settings) -> bytes:
        now, at = numbers(self.directory), time.time()
        seen = SnapshotInput(
            now,
            self.history,
            self.recent,
            settings,
            self.unready(now, settings, at),
            at=at,
            since=self.since,
            host=socket.gethostname(),
            unproven=self.unproven(now, settings, at),
            degraded=self.degraded(now),
        )
        return orjson.dumps(snapshot(seen))


def numbers(directory: Path) -> Numbers:
    """Return what the metrics directory holds now."""
    families = collected(directory).collect()
    return Numbers((sample.name, sample.labels, sample.value) for family in families for sample in family.samples)
