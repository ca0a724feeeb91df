"""The status page in the exporter: samples the metrics at an interval, keeps history and events, serves its paths.

It never waits and has no thread: the exporter's event loop calls `sample` and `recent.read`. It changes nothing in the
service.
"""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import orjson

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, Level
from miltscan.status.beginnings import Beginnings
from miltscan.status.day import Day
from miltscan.status.events import RecentEvents
from miltscan.status.history import History
from miltscan.status.samples import Numbers
from miltscan.status.snapshot import SnapshotInput, assessment, snapshot
from miltscan.status.trend import QueueTrend
from miltscan.telemetry.merge import collected

_STARTING = 30.0  # seconds in which workers and engines are not up yet, which is no part of the day
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
FIND = "/api/message"
"""Takes `?id=` with a queue ID or a Message-ID."""


@dataclass(frozen=True, slots=True)
class Page:
    """A body and its content type."""

    body: bytes
    content_type: str


Health = Callable[[Numbers, Settings, float, Mapping[tuple[str, str], str]], "HealthFindings"]
"""What is wrong at a Unix time; the mapping has the reasons of servers that are down, by engine and server."""


class HealthFindings(NamedTuple):
    """Why the service cannot scan, how its probes failed, and what is wrong although it scans."""

    unready: Sequence[Finding] = ()
    unproven: Sequence[Finding] = ()
    degraded: Sequence[Finding] = ()


@dataclass(slots=True)
class StatusPage:
    """The page of one service, from the metrics in `directory`."""

    directory: Path
    health: Health
    history: History = field(default_factory=History)
    trend: QueueTrend = field(default_factory=QueueTrend)
    day: Day = field(default_factory=Day)
    beginnings: Beginnings = field(default_factory=Beginnings)
    recent: RecentEvents = field(default_factory=RecentEvents)
    since: float = field(default_factory=time.time)
    _assets: dict[str, Page] = field(
        default_factory=lambda: {
            path: Page(_FOLDER.joinpath(name).read_bytes(), kind) for path, (name, kind) in _ASSETS.items()
        }
    )
    _cached: tuple[float, Settings, bytes] | None = None

    def sample(self, settings: Settings) -> None:
        """Add one point to the history, and the assessment to the day."""
        now, at = numbers(self.directory), time.time()
        self.history.add(now, at, time.monotonic())
        self.trend.add(at, now.by("queue_entries", "queue"))
        found = self.beginnings.dated(at, assessment(self._seen(now, settings, at)))
        if self.day.changes or found.level is Level.OK or at - self.since > _STARTING:
            self.day.add(at, found)

    def page(self, path: str, settings: Settings) -> Page:
        """Return the page at one of `PATHS`."""
        if path != API:
            return self._assets[path]
        now = time.monotonic()
        if self._cached is None or now - self._cached[0] > _FRESH or self._cached[1] is not settings:
            seen = self._seen(numbers(self.directory), settings, time.time())
            status = snapshot(seen)
            dated = replace(status, assessment=self.beginnings.dated(seen.at, status.assessment))
            self._cached = (now, settings, orjson.dumps(dated))
        return Page(self._cached[2], "application/json")

    def find(self, text: str) -> Page:
        """Return the message with this queue ID or Message-ID, `null` if it is not among the last ones."""
        return Page(orjson.dumps({"message": self.recent.messages.find(text)}), "application/json")

    def _seen(self, now: Numbers, settings: Settings, at: float) -> SnapshotInput:
        wrong = self.health(now, settings, at, self.recent.reasons)
        return SnapshotInput(
            now,
            self.history,
            self.recent,
            settings,
            wrong.unready,
            at=at,
            since=self.since,
            host=socket.gethostname(),
            unproven=wrong.unproven,
            degraded=wrong.degraded,
            trend=self.trend,
            day=self.day.changes,
        )


def numbers(directory: Path) -> Numbers:
    """Return what the metrics directory holds now."""
    families = collected(directory).collect()
    return Numbers((sample.name, sample.labels, sample.value) for family in families for sample in family.samples)
