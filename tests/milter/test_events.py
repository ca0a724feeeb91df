"""A running service logs every event that is defined, each as docs/logging.md describes it, and no other."""

import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from docs.generator import log_events
from miltscan.core.probe import ProbeKind
from tests.fakes import clamd_lies as lies
from tests.fakes.collector import Collector, collector
from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message
from tests.harness import ports
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet, documented
from tests.milter.daemon import Daemon
from tests.milter.probes import probe, probing

BROKEN = str(Path(__file__).with_name("broken_service.py"))


def serve(daemon: Daemon, there: Collector, queue: Path) -> None:
    """Mail of each kind; a collector, an engine and a queue that go or come; reloads; a worker that dies; a stop."""
    daemon.wait_logged("queue_unreadable")
    queue.mkdir()
    there.status = 400
    for number, body in enumerate((b"clean\r\n", EICAR, b"x" * 70_000)):
        daemon.send(Message(body=body, queue_id=b"M%d" % number, sender=b'<"client":"1.2.3.4"@example.org>'))
    daemon.wait_logged("tracing_fails")
    there.status = 200
    daemon.clamd.behaviour = lies.always_ok
    daemon.wait_logged("engine_down")
    daemon.send(Message(queue_id=b"DOWN"))
    daemon.wait_logged("tracing_works")
    daemon.clamd.behaviour = lies.honest
    daemon.wait_logged("engine_up", 2)
    daemon.wait_logged("probe_fails")
    daemon.send(probe(ProbeKind.CLEAN, b"PROBE")[0])
    daemon.wait_logged("probe_message")
    daemon.write(log__level="debug", limits__message_size="64KiB")
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_logged("reload")
    wait_until(lambda: refuses(daemon), PATIENCE, "a refusal in the log")
    daemon.clamd.behaviour = lies.always_ok
    daemon.wait_logged("engine_fault")
    daemon.wait_logged("probe_off")
    daemon.config.write_text("nonsense")
    daemon.running.signal(signal.SIGHUP)
    daemon.wait_logged("reload_failed")
    daemon.wait_logged("queue_readable")
    (daemon.folder / "sock").unlink()
    daemon.wait_logged("socket_bound")
    daemon.workers()[0].kill()
    daemon.wait_logged("child_died")
    assert daemon.stop() == 0


def refuses(daemon: Daemon) -> bool:
    """Whether the exporter, sent what is no HTTP, has logged that; it may not have taken its new level yet."""
    with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        with suppress(ConnectionError):
            connection.recv(4096)
    return bool(daemon.logged("http_refused"))


def fail(daemon: Daemon) -> None:
    """A message at which our own code fails."""
    daemon.wait_ready()
    daemon.send(Message(sender=b"<bug@example.org>"))
    daemon.wait_logged("exception")
    daemon.stop()


def refuse(daemon: Daemon) -> None:
    """A host that is not listed connects to the TCP socket."""
    daemon.wait_ready()
    port, _, host = str(daemon.settings["milter.socket"]).removeprefix("inet:").partition("@")
    with socket.create_connection((host, int(port)), PATIENCE, ("127.0.0.2", 0)):
        daemon.wait_logged("peer_refused")
    daemon.stop()


ENDS: dict[str, Callable[[Daemon], object]] = {
    "decide": fail,
    "no-filter": refuse,
    "no-otel": Daemon.stop,
    "boot": Daemon.ended,
    "boot-bug": Daemon.ended,
}
"""What follows the start of a service with this defect."""


UNSEEN = {
    "access_failed",
    "probe_works",
    "engine_degraded",
    "engine_restored",
    "log_lines_lost",
    "metrics_in_memory",
    "metrics_on_disk",
    "child_hangs",
    "sessions_full",
    "recipient_refused",
    "store_fails",
    "copy_fails",
    "store_warning",
    "keeper_waits",
    "keeper_fails",
    "keeper_works",
    "entry_cleared",
    "release_impossible",
    "mail_sent",
    "mail_failed",
    "template_broken",
    "rescanned",
    "rescan_skipped",
    "released",
    "release_failed",
    "detected_late",
    "delivered_before",
    "archive_expired",
    "entry_deleted",
    "held_released",
    "held_deleted",
    "shadow_differs",
    "shadow_failed",
    "source_read",
    "source_fails",
    "lists_read",
    "lists_fail",
    "lists_broken",
    "list_expired",
    "list_added",
    "list_removed",
}
"""Files that turn bad in the moment between the supervisor's look at them and the exporter's; a real sendmail; a real
clamd, whose folder can be seen (tests/e2e/test_room.py); a log that stalls (test_log_reader.py); a folder that is full
(test_metrics_folder.py); a quarantine that cannot be used (test_quarantine.py); the keeper (test_keeper.py); a worker
that hangs or has no descriptor left (test_lifecycle.py); what commands and keeper do (tests/e2e/test_release.py,
test_hold.py); the allow and deny lists (test_lists.py); rules (test_refused_recipients.py), their sources
(test_sources.py) and a shadow (test_shadow.py)."""


def test_every_event(own: Fleet, tmp_path: Path) -> None:
    """Of a service that works, one with a bug, one that lacks a package, and two that cannot start."""
    queue = tmp_path / "mqueue"
    queues = {"queues__incoming": str(queue), "queues__interval": "1s"}
    with collector() as there:
        daemons = {defect: own(tracing__endpoint=there.url, **queues) for defect in ("", *ENDS)}
        for defect, daemon in daemons.items():
            if defect:
                daemon.command = (sys.executable, BROKEN, defect, "run")
            daemon.settings = {**daemon.settings, **probing(daemon)}
            if defect == "no-filter":
                daemon.settings["milter.socket"] = f"inet:{ports.choose().number}@127.0.0.1"
                daemon.settings["milter.allow"] = ["127.0.0.1"]
            daemon.start()
        daemons[""].wait_ready()
        serve(daemons[""], there, queue)
        for defect, end in ENDS.items():
            end(daemons[defect])
    seen = {str(line["event"]) for daemon in daemons.values() for line in daemon.all_lines()}
    assert {event.name for event in log_events.EVENTS} - seen == UNSEEN
    for daemon in daemons.values():
        documented(daemon)
