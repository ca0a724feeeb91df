"""The status page as the exporter serves it: its responses, their headers, their cost."""

import gzip
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from miltscan.config.settings import Settings
from miltscan.exporter import service
from miltscan.exporter.exchange import Request
from miltscan.exporter.service import ExporterState
from miltscan.status import page as status_page
from miltscan.status.lookup import MessageLine
from miltscan.status.model import ServiceStatus
from miltscan.status.snapshot import SnapshotInput, snapshot
from miltscan.telemetry import engine_metrics, family, mail_metrics, service_metrics

PATHS = ["/", "/style.css", "/app.js", "/icon.svg", "/api/status"]
ASSETS = Path(status_page.__file__).parent / "assets"


def _in_a_process(work: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def state(tmp_path: Path) -> ExporterState:
    """Return the state of an exporter for a service with one worker."""

    def work() -> None:
        family.attach(tmp_path, "0")
        service_metrics.WORKERS.child().set(1)
        engine_metrics.ENGINE_UP.child("clamd", "unix:/c").set(1)
        engine_metrics.CANARY_PASSED.child("clamd", "unix:/c").set(time.time())
        mail_metrics.MESSAGES.child("inbound", "clean", "accept").inc(7)

    _in_a_process(work)
    return ExporterState(tmp_path, Settings.model_validate({"milter": {"workers": 1}}))


def test_the_answer_behind_the_page(state: ExporterState) -> None:
    """The page has the numbers of /metrics and shows that the service can scan."""
    response = service.respond(state, Request("GET", "/api/status"))
    status = orjson.loads(response.body)
    assert (response.status, response.content_type) == (200, "application/json")
    assert status["totals"]["messages"] == 7
    assert status["assessment"] == {
        "level": "ok",
        "text": "Mail is being scanned by 1 server",
        "details": [],
        "findings": [],
        "since": status["at"],
    }


@pytest.mark.parametrize("path", PATHS)
def test_each_answer_forbids_what_the_page_does_not_need(state: ExporterState, path: str) -> None:
    """The headers forbid script, style, picture, frame and connection from elsewhere, sniffing, referrer and cache."""
    headers = service.respond(state, Request("GET", path)).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")


def test_it_can_only_be_read(state: ExporterState) -> None:
    """Every method that could change something is refused at every path."""
    requests = [Request(method, path) for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS") for path in PATHS]
    assert [request for request in requests if service.respond(state, request).status != 405] == []


def test_it_is_compressed_for_a_client_that_accepts_it(state: ExporterState) -> None:
    """Responses are compressed, as the page requests one every few seconds, perhaps over a slow line."""
    packed = service.respond(state, Request("GET", "/app.js", {"accept-encoding": "gzip"}))
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == service.respond(state, Request("GET", "/app.js")).body


def test_many_viewers_cost_no_more_than_one(state: ExporterState, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same response is sent again as long as it is fresh, but not after a reload."""
    made: list[SnapshotInput] = []

    def noted(seen: SnapshotInput) -> ServiceStatus:
        made.append(seen)
        return snapshot(seen)

    monkeypatch.setattr(status_page, "snapshot", noted)
    monkeypatch.setattr(status_page, "_FRESH", 3600.0)  # seconds: a busy machine needs more than half of one
    for _ in range(50):
        service.respond(state, Request("GET", "/api/status"))
    assert len(made) == 1
    state.settings = Settings()
    service.respond(state, Request("GET", "/api/status"))
    assert len(made) == 2
    monkeypatch.setattr(status_page, "_FRESH", -1.0)
    service.respond(state, Request("GET", "/api/status"))
    assert len(made) == 3


def test_history_grows_with_each_sample(state: ExporterState) -> None:
    """Each sample of the exporter's loop adds a point."""
    for _ in range(3):
        state.page.sample(state.settings)
    assert len(state.page.history.points) == 2


def test_a_message_is_found(state: ExporterState) -> None:
    """The query names it; without one, and for what is not kept, there is none."""
    line = MessageLine(1.0, "6AT/&", "", "inbound", "clean", "accept", 250, "", "", 0.1, 100)
    state.page.recent.messages.add(line)
    for query, queue_id in (("id=6AT%2F%26", "6AT/&"), ("id=x", None), ("", None), ("id", None)):
        answer = service.respond(state, Request("GET", "/api/message", query=query))
        found = orjson.loads(answer.body)["message"]
        assert (answer.status, found and found["queue_id"]) == (200, queue_id)


def test_reloaded_settings_are_those_shown(state: ExporterState) -> None:
    """The page shows the configuration in force, not that of the start."""
    state.settings = Settings.model_validate({"log": {"level": "debug"}})
    status = orjson.loads(service.respond(state, Request("GET", "/api/status")).body)
    changed = {row["key"]: row["value"] for row in status["configuration"]["settings"] if row["changed"]}
    assert changed == {"log.level": '"debug"'}


def test_text_goes_in_as_text_only() -> None:
    """No asset turns a text into markup or code, has an inline script, style or handler, or names another host."""
    script, page = (ASSETS / "app.js").read_text(), (ASSETS / "index.html").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(|\.cssText", script)
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", page)
    links = re.findall(r"https?://[^\s\"']+", "".join(file.read_text() for file in ASSETS.iterdir()))
    assert {*links} == {"http://www.w3.org/2000/svg"}
