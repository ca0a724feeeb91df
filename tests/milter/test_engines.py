"""Two engines behind the real service: what each means for mail, readiness, log and metrics, and over reloads."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Slow, honest, says, unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message, Result
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, scanned

VIRUS = Message(body=EICAR + b"\r\n")
SLACK = 5  # threads of libmilter and sessions with clamd that come and go; six engines that leak hold more
FOUND = unless_canary(says(b"Other.Virus FOUND"))


@dataclass(frozen=True, slots=True)
class Pair:
    """A service that is ready, and the server of its second engine; that of the first is the service's own."""

    daemon: Daemon
    second: FakeClamd

    def headers(self, result: Result) -> dict[str, str]:
        """The headers that an accepted message got."""
        assert result.accepted, result
        return {edit.name.decode(): edit.value.strip().decode() for edit in result.edits if edit.value}

    def down(self, clamd: FakeClamd, engine: str) -> None:
        """Let this server, which is up, detect nothing from now on, until the service has noticed."""
        self.daemon.wait_metric("engine_up", 1, engine=engine, server=clamd.address)
        clamd.behaviour = says(b"OK")
        self.daemon.wait_metric("engine_up", 0, engine=engine, server=clamd.address)


def engine(name: str, *servers: str, **keys: object) -> dict[str, object]:
    """An `[[engine]]` table of type clamd."""
    return {"type": "clamd", "name": name, "servers": servers or ["OWN"], "canary_interval": "3s", **keys}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeClamd]:
    """One for all tests, so that the services that use it are shared."""
    with FakeClamd.tcp() as made:
        yield made


@pytest.fixture
def optional(shared: Fleet, server: FakeClamd) -> Iterator[Pair]:
    """A service whose second engine is optional and has its own timeout."""
    yield Pair(shared(engine=[engine("second", server.address, required=False, timeout="1s"), engine("clamd")]), server)
    server.behaviour = honest


@pytest.fixture
def both(shared: Fleet, server: FakeClamd) -> Iterator[Pair]:
    """A service with two required engines."""
    yield Pair(shared(engine=[engine("clamd"), engine("second", server.address)]), server)
    server.behaviour = honest


def test_both_engines_scan_every_message(optional: Pair) -> None:
    """A clean message has one line with both verdicts, the required engine first, and no mark."""
    result = optional.daemon.send(Message(queue_id=b"CLEAN"))
    assert set(optional.headers(result)) == {"X-Virus-Status", "X-Virus-Scanned"}
    line = optional.daemon.line_of("CLEAN")
    assert [(one["engine"], one["outcome"]) for one in line["engines"]] == [("clamd", "clean"), ("second", "clean")]
    assert line["unscanned_by"] == []
    assert optional.daemon.metric("engine_required", engine="clamd") == 1
    assert optional.daemon.metric("engine_required", engine="second") == 0


def test_mail_flows_without_an_optional_engine(optional: Pair) -> None:
    """It is marked, counted and logged; the service stays ready, and infected mail is still rejected."""
    daemon = optional.daemon
    counted = daemon.metric("optional_engine_unscanned_total", engine="second", reason="no-engine")
    optional.down(optional.second, "second")
    assert daemon.get("/readyz") == (200, "ok\n")
    headers = optional.headers(daemon.send(Message(queue_id=b"MARKED")))
    assert headers["X-Virus-Status"] == "Clean"
    assert headers["X-Virus-Unscanned-By"] == "second (no-engine)"
    line = daemon.line_of("MARKED")
    assert (line["level"], line["outcome"], line["rule"]) == ("info", "clean", "clean")
    assert line["unscanned_by"] == ["second"]
    assert daemon.send(VIRUS).reply.smtp.startswith(b"550")
    daemon.wait_metric("optional_engine_unscanned_total", counted + 1, engine="second", reason="no-engine")


def test_a_slow_optional_engine_has_its_own_timeout(optional: Pair) -> None:
    """The message waits for it no longer than that, and is marked; the required engine was asked before."""
    slow = Slow()
    optional.second.behaviour = unless_canary(slow)
    headers = optional.headers(optional.daemon.send(Message(queue_id=b"SLOW")))
    slow.released.set()
    assert headers["X-Virus-Unscanned-By"] == "second (timeout)"
    first, second = optional.daemon.line_of("SLOW")["engines"]
    assert (first["engine"], second["engine"], second["reason"]) == ("clamd", "second", "timeout")
    assert 1000 <= second["ms"] < 20_000  # limits.scan_timeout is 30 s


def test_what_an_optional_engine_finds_is_rejected(optional: Pair) -> None:
    """A virus is a virus, whichever engine finds it."""
    optional.second.behaviour = FOUND
    result = optional.daemon.send(Message(queue_id=b"FOUND"))
    assert result.reply.smtp == b"550 5.7.1 Virus found: Other.Virus (FOUND)"
    assert optional.daemon.line_of("FOUND")["outcome"] == "infected"


def test_the_first_engine_that_finds_something_decides(both: Pair) -> None:
    """The second engine is no longer asked: nothing is more severe than infected."""
    both.second.behaviour = FOUND
    both.second.contents.clear()
    virus = Message(body=EICAR + b"\r\n", queue_id=b"BOTH")
    assert both.daemon.send(virus).reply.smtp == b"550 5.7.1 Virus found: Eicar-Test-Signature (BOTH)"
    assert [one["engine"] for one in both.daemon.line_of("BOTH")["engines"]] == ["clamd"]
    assert scanned(both.second) == []


def test_no_mail_flows_without_a_required_engine(both: Pair) -> None:
    """The other engine does not replace it: the client receives 451, and the service is not ready."""
    both.down(both.second, "second")
    reply = both.daemon.send(Message(queue_id=b"WAITS")).reply
    assert reply.smtp == b"451 4.7.1 Message not scanned: no engine is available, try again later (WAITS)"
    status, text = both.daemon.get("/readyz")
    assert status == 503
    assert text.startswith(f"second {both.second.address}: ")
    assert "clamd" not in text
    both.second.behaviour = honest
    wait_until(lambda: both.daemon.get("/readyz")[0] == 200, PATIENCE, "a service that is ready again")
    assert both.daemon.send().accepted


def test_an_optional_engine_may_have_another_action(shared: Fleet, server: FakeClamd) -> None:
    """With its on_error its failure stops mail after all; what is too large for it is only marked."""
    second = engine("second", server.address, required=False, on_error="tempfail", skip_above="64KiB")
    pair = Pair(shared(engine=[engine("clamd"), second]), server)
    server.contents.clear()
    headers = pair.headers(pair.daemon.send(Message(body=b"x" * 70_000)))
    assert headers["X-Virus-Unscanned-By"] == "second (too-large)"
    assert scanned(server) == []
    pair.down(server, "second")
    assert pair.daemon.send(Message(queue_id=b"STOPPED")).reply.smtp.startswith(b"451 4.7.1")
    assert pair.daemon.line_of("STOPPED")["rule"] == "engine.second.on_error"
    server.behaviour = honest


def test_a_required_engine_that_is_not_asked_makes_nothing_clean(shared: Fleet) -> None:
    """Above its skip_above the policy for messages that are too large decides."""
    daemon = shared(engine=[engine("clamd", skip_above="64KiB")])
    large = daemon.send(Message(body=b"x" * 70_000, queue_id=b"LARGE")).reply.smtp
    assert large.startswith(b"552 5.3.4 Message too large: ")
    assert scanned(daemon.clamd) == []
    assert daemon.send(Message(body=b"x" * 60_000)).accepted


def test_engines_come_and_go_while_mail_flows(own: Fleet) -> None:
    """No message is refused meanwhile, and nothing of a removed engine is left: no connection, thread or metric."""
    seldom = engine("clamd", canary_interval="1h")  # each self-test opens a connection, which is kept for a while
    daemon = own(engine=[seldom])
    daemon.start()
    daemon.wait_ready()
    wait_until(lambda: daemon.engines_up() and daemon.send().accepted, PATIENCE, "a first message")
    replies: list[Result] = []
    stop = threading.Event()

    def flow() -> None:
        while not stop.is_set():
            replies.append(daemon.send())

    with FakeClamd.unix(daemon.folder / "second") as second:
        before = held(daemon)
        sender = threading.Thread(target=flow)
        sender.start()
        try:
            for round_ in range(6):
                reload(daemon, engine("second", second.address, required=round_ % 2 == 0), seldom)
                daemon.wait_metric("engine_up", 1, engine="second")
                count = len(replies)
                wait_until(lambda: len(replies) > count + 2, PATIENCE, "mail with both engines")  # noqa: B023
                reload(daemon, seldom)
                wait_until(lambda: not gauges(daemon, "second"), PATIENCE, "an engine that is gone")
        finally:
            stop.set()
            sender.join(PATIENCE)
        assert [reply for reply in replies if not reply.accepted] == []
        assert {line["outcome"] for line in daemon.logged("message")} == {"clean"}
        wait_until(lambda: second.connections == 0, PATIENCE, "no connection to the removed engine")
        wait_until(daemon.idle, PATIENCE, "an idle service")
        wait_until(lambda: held(daemon) <= before + SLACK, PATIENCE, f"{before} threads and descriptors")


def reload(daemon: Daemon, *engines: dict[str, object]) -> None:
    """Reload with these engines; returns when the supervisor has read them."""
    times = len(daemon.logged("reload"))
    daemon.write(engine=[*engines])
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_logged("reload", times + 1)


def held(daemon: Daemon) -> int:
    """The threads and descriptors of the only worker."""
    (worker,) = daemon.workers()
    return worker.num_threads() + worker.num_fds()


def gauges(daemon: Daemon, name: str) -> list[str]:
    """The gauges that show this engine."""
    return [
        family
        for family, labels, _ in daemon.samples()
        if labels.get("engine") == name and not family.endswith(("_total", "_bucket", "_count", "_sum"))
    ]
