"""The status page in the exporter: samples the metrics on an interval, keeps history and events, answers its paths.

It never waits and holds no thread: the exporter's event loop calls `sample` and `ring.read`. It changes nothing.
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

_FRESH = 0.5  # seconds for which a page is handed out again: many viewers cost no more than two a second

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
"""What each answer of the page carries: a browser loads nothing from elsewhere and runs no script within a text."""

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
    """A body and its type."""

    body: bytes
    content_type: str


@dataclass(slots=True)
class StatusPage:
    """The page of one service, from the metrics in `directory`; `unready` says why it cannot scan.

    `unproven` says what the probes have against it.
    """

    directory: Path
    unready: Callable[[Numbers, Settings], Sequence[str]]
    unproven: Callable[[Numbers, Settings], Sequence[str]]
    past: History = field(default_factory=History)
    ring: RecentEvents = field(default_factory=RecentEvents)
    since: float = field(default_factory=time.time)
    _assets: dict[str, Page] = field(default_factory=lambda: {path: _asset(*of) for path, of in _ASSETS.items()})
    _made: tuple[float, Settings, bytes] | None = None

    def sample(self) -> None:
        """One more point of history."""
        self.past.add(numbers(self.directory), time.time(), time.monotonic())

    def page(self, path: str, settings: Settings) -> Page:
        """The answer to one of `PATHS`."""
        if path == API:
            return Page(self._status(settings), "application/json")
        return self._assets[path]

    def _status(self, settings: Settings) -> bytes:
        now = time.monotonic()
        if self._made is None or now - self._made[0] > _FRESH or self._made[1] is not settings:
            self._made = (now, settings, self._make(settings))
        return self._made[2]

    def _make(self, settings: Settings) -> bytes:
        now = numbers(self.directory)
        seen = SnapshotInput(
            now,
            self.past,
            self.ring,
            settings,
            self.unready(now, settings),
            at=time.time(),
            since=self.since,
            host=socket.gethostname(),
            unproven=self.unproven(now, settings),
        )
        return orjson.dumps(snapshot(seen))


def numbers(directory: Path) -> Numbers:
    """What stands in the metrics directory now."""
    families = collected(directory).collect()
    return Numbers((sample.name, sample.labels, sample.value) for family in families for sample in family.samples)


def _asset(name: str, content_type: str) -> Page:
    return Page(Path(__file__).with_name("assets").joinpath(name).read_bytes(), content_type)
