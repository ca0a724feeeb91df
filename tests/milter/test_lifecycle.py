"""Start, reload, drain and death of the service and of its processes, as an administrator sees them."""

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from tests.fakes import clamd_lies as lies
from tests.fakes.clamd_lies import Slow, unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code, Command, encode
from tests.fakes.mta import MTA, Message, Result
from tests.fakes.odd_macros import crash_by_odd_macros
from tests.harness import ports
from tests.harness.ending import living
from tests.harness.milter import accepts
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, stopped

VIRUS = Message(body=EICAR + b"\r\n")
BROKEN = str(Path(__file__).with_name("broken_service.py"))


@pytest.fixture
def started(own: Fleet) -> Callable[..., Daemon]:
    """A service of the test's own that is ready."""

    def with_settings(**settings: object) -> Daemon:
        daemon = own(**settings)
        daemon.start()
        daemon.wait_ready()
        return daemon

    return with_settings


@contextmanager
def scanning(daemon: Daemon, message: Message | None = None) -> Iterator[tuple[Slow, Callable[[], Result]]]:
    """A message in mid scan: what holds it, and what waits for its result."""
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(slow)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(daemon.send, message)
        assert slow.entered.wait(PATIENCE)
        try:
            yield slow, future.result
        finally:
            slow.released.set()


def half_sent(mta: MTA, message: Message) -> Iterator[tuple[Command, object]]:
    """The steps of a message without its EOM."""
    steps = mta.walk(message)
    while next(steps)[0] is not Command.BODY:
        pass
    return steps


def group_is_gone(group: int) -> bool:
    """Whether no process is left of the service whose supervisor has, or had, this pid."""
    return not living(group)


# Reload


def test_a_reload_takes_effect_at_the_next_mail(started: Callable[..., Daemon]) -> None:
    """A message that has begun keeps the configuration it began with, to its end."""
    daemon = started(policy__on_infected="reject")
    with daemon.mta() as mta:
        steps = half_sent(mta, VIRUS)
        daemon.write(policy__on_infected="tempfail")
        daemon.running.signal(signal.SIGHUP)
        wait_until(lambda: daemon.send(VIRUS).reply.smtp.startswith(b"451"), PATIENCE, "the new configuration")
        _command, replies = next(steps)
        assert isinstance(replies, tuple)
        assert replies[-1].smtp.startswith(b"550")
        assert mta.send_message(VIRUS).reply.smtp.startswith(b"451")
    (line,) = daemon.logged("reload")
    assert line["needs_restart"] == []
    daemon.wait_metric("reloads_total", 1, result="ok")


def test_what_a_reload_changes(started: Callable[..., Daemon]) -> None:
    """Limits, headers and engine change without a restart, and back again."""
    daemon = started()
    message = Message(body=b"x" * 2000)
    changes: list[tuple[dict[str, object], bytes, int]] = [
        ({"limits__message_size": "1KiB"}, b"552 5.3.4", 0),
        ({}, b"250 2.0.0", 2),
        ({"headers__mode": "none"}, b"250 2.0.0", 0),
        ({"clamd__servers": ["unix:/nowhere/clamd"]}, b"451 4.7.1", 0),
        ({}, b"250 2.0.0", 2),
    ]
    for change, smtp, edits in changes:
        daemon.write(**change)
        daemon.running.signal(signal.SIGHUP)
        wait_until(partial(hears, daemon, message, (smtp, edits)), PATIENCE, f"{change}")


def hears(daemon: Daemon, message: Message, expected: tuple[bytes, int]) -> bool:
    """Whether it gets this code and status, and so many header edits."""
    result = daemon.send(message)
    return expected == (result.reply.smtp[:9], len(result.edits))


def test_a_wrong_file_changes_nothing(started: Callable[..., Daemon]) -> None:
    """An invalid file, or none at all, is logged once and counted; the service goes on as it was."""
    daemon = started(policy__on_infected="tempfail")
    for times, text in enumerate([b"nonsense", b'policy.on_infected = "ignore"\nlimits.x = 1', b"\xff", None], 1):
        daemon.config.unlink()
        if text is not None:
            daemon.config.write_bytes(text)
        daemon.running.signal(signal.SIGHUP)
        lines = daemon.wait_logged("reload_failed", times)
        assert str(daemon.config) in lines[-1]["why"][0]
        assert daemon.send(VIRUS).reply.smtp.startswith(b"451")
    daemon.wait_metric("reloads_total", 4, result="failed")
    assert daemon.metric("reloads_total", result="ok") == 0
    daemon.write()
    daemon.running.signal(signal.SIGHUP)
    wait_until(lambda: daemon.send(VIRUS).reply.smtp.startswith(b"550"), PATIENCE, "the new configuration")
    assert len(daemon.logged("reload_failed")) == 4


def test_a_disk_that_hangs_at_a_reload(own: Fleet) -> None:
    """The supervisor goes on: the former configuration stays in force, dead workers are replaced, and TERM ends it."""
    daemon = own()
    daemon.command = (sys.executable, BROKEN, "dead-disk", "run")
    daemon.start()
    daemon.wait_ready()
    daemon.running.signal(signal.SIGHUP)
    (line,) = daemon.wait_logged("reload_failed")
    assert "did not answer within 0.5 s" in line["why"][0]
    assert daemon.send().accepted
    assert daemon.stop() == 0


def test_keys_that_need_a_restart_are_named(started: Callable[..., Daemon]) -> None:
    """And they are named again at the next reload, because they are still not in effect; the log keeps its format."""
    daemon = started()
    daemon.write(milter__workers=2, log__format="console", limits__message_size="2MiB")
    for times in (1, 2):
        daemon.running.signal(signal.SIGHUP)
        lines = daemon.wait_logged("reload", times)
        assert lines[-1]["needs_restart"] == ["milter.workers", "log.format"]
    assert daemon.send(Message(body=b"x" * 1_100_000, queue_id=b"AFTER")).accepted
    assert daemon.line_of("AFTER")["action"] == "accept"
    assert len(daemon.workers()) == 1


# Stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_drains(started: Callable[..., Daemon], number: signal.Signals) -> None:
    """A message in mid scan is answered before the end; then nothing is left, and the status is 0."""
    daemon = started(milter__workers=2)
    with scanning(daemon) as (slow, result):
        daemon.running.signal(number)
        wait_until(lambda: not accepts_mail(daemon), PATIENCE, "no more sessions")
        assert daemon.running.alive
        slow.released.set()
        assert result().accepted
    assert daemon.ended() == 0
    assert group_is_gone(daemon.running.pid)
    assert not (daemon.folder / "sock").exists()
    assert [line["status"] for line in daemon.logged("stop")] == [0]


def accepts_mail(daemon: Daemon) -> bool:
    """Whether a new session is served."""
    try:
        daemon.mta(timeout=0.2).cut()
    except OSError:
        return False
    return True


def test_a_stop_ends_idle_sessions(started: Callable[..., Daemon]) -> None:
    """A session without a message keeps the end waiting only for a while."""
    daemon = started()
    with daemon.mta() as mta:
        mta.connect()
        daemon.wait_metric("sessions", 1)
        assert daemon.stop() == 0


# Death of a process


def test_a_killed_worker_is_replaced(started: Callable[..., Daemon]) -> None:
    """Counters survive, gauges of the dead one go, and mail is served again."""
    daemon = started()
    assert daemon.send().accepted
    daemon.wait_metric("messages_total", 1, action="accept")
    with daemon.mta() as mta, daemon.mta() as idle:
        idle.connect()
        half_sent(mta, Message())
        daemon.wait_metric("transactions_in_flight", 1)
        (worker,) = daemon.workers()
        worker.kill()
        assert mta.closed_by_milter()
    (line,) = daemon.wait_logged("child_died")
    assert (line["child"], line["status"]) == ("worker 0", "killed by SIGKILL")
    wait_until(daemon.idle, PATIENCE, "gauges at 0")
    wait_until(lambda: daemon.send().accepted, PATIENCE, "mail")
    daemon.wait_metric("worker_respawns_total", 1)
    daemon.wait_metric("messages_total", 2, action="accept")
    daemon.wait_metric("workers", 1)


def test_the_other_workers_go_on(started: Callable[..., Daemon]) -> None:
    """A session of another worker does not notice."""
    daemon = started(milter__workers=2)
    with daemon.mta() as one, daemon.mta() as two:
        steps = [half_sent(one, Message()), half_sent(two, Message())]
        daemon.wait_metric("transactions_in_flight", 2)
        daemon.workers()[0].kill()
        daemon.wait_logged("child_died")
        codes = {reply_of(rest) for rest in steps}
    assert codes <= {b"250", b""}
    assert daemon.send().accepted


def reply_of(steps: Iterator[tuple[Command, object]]) -> bytes:
    """The code that the EOM brings; empty if the milter has gone."""
    try:
        _command, replies = next(steps)
    except ConnectionError:
        return b""
    assert isinstance(replies, tuple)
    return bytes(replies[-1].smtp[:3])


def test_a_worker_that_an_odd_macro_list_crashes_is_replaced(started: Callable[..., Daemon]) -> None:
    """A crash that miltscan cannot prevent (docs/failures.md) ends one worker; a session of the other one goes on."""
    daemon = started(milter__workers=2)
    first, second = daemon.workers()
    with ExitStack() as sessions:
        with stopped(second):
            kept = sessions.enter_context(daemon.mta())
        steps = half_sent(kept, Message())
        with stopped(first):
            lost = sessions.enter_context(daemon.mta())
            half_sent(lost, Message())
            crash_by_odd_macros(daemon.address)
        (line,) = daemon.wait_logged("child_died")
        assert line["status"] == "killed by SIGSEGV"
        assert lost.closed_by_milter()
        assert reply_of(steps) == b"250"
    wait_until(lambda: accepts_mail(daemon) and daemon.send().accepted, PATIENCE, "mail")
    daemon.wait_metric("workers", 2)


def test_a_killed_exporter_is_replaced(started: Callable[..., Daemon]) -> None:
    """Metrics are there again, with what was counted before."""
    daemon = started()
    assert daemon.send().accepted
    (exporter,) = set(daemon.children()) - set(daemon.workers())
    exporter.kill()
    daemon.wait_logged("child_died", child="exporter")
    daemon.wait_metric("messages_total", 1, action="accept")


def test_a_killed_supervisor_takes_its_workers_with_it(started: Callable[..., Daemon]) -> None:
    """They answer what they have, then end; a new service can start next to them at once."""
    daemon = started(milter__workers=2)
    dead = daemon.running.pid
    with scanning(daemon) as (slow, result):
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: not accepts(daemon.folder / "sock"), PATIENCE, "no more sessions")
        daemon.start()
        daemon.wait_ready()
        assert not group_is_gone(dead)
        slow.released.set()
        assert result().accepted
        wait_until(lambda: group_is_gone(dead), PATIENCE, "the end of the workers")
        assert daemon.send().accepted


def test_an_orphan_does_not_wait_for_ever(started: Callable[..., Daemon]) -> None:
    """A transaction that stands still keeps a worker without supervisor no longer than a scan could take."""
    daemon = started(limits__scan_timeout="1s", limits__queue_wait="0s")
    with daemon.mta() as mta:
        half_sent(mta, Message())
        daemon.wait_metric("transactions_in_flight", 1)
        os.kill(daemon.running.pid, signal.SIGKILL)
        wait_until(lambda: group_is_gone(daemon.running.pid), PATIENCE, "the end of the worker")


# Start


def test_a_worker_that_cannot_start_ends_the_service(own: Fleet) -> None:
    """No loop: a clear line and exit status 1."""
    daemon = own()
    daemon.command = (sys.executable, BROKEN, "boot", "run")
    daemon.start()
    assert daemon.ended() == 1
    assert daemon.logged("start_failed")[0]["why"] == "a worker cannot start here"
    assert group_is_gone(daemon.running.pid)
    assert not (daemon.folder / "sock").exists()


@pytest.mark.parametrize(("defect", "text"), [("boot-bug", "RuntimeError: defect at start"), ("serve", None)])
def test_a_defect_at_start_ends_the_service(own: Fleet, defect: str, text: str | None) -> None:
    """The same where it is a bug, or libmilter that does not run."""
    daemon = own()
    daemon.command = (sys.executable, BROKEN, defect, "run")
    daemon.start()
    assert daemon.ended() == 1
    assert text is None or text == daemon.logged("child_failed")[0]["exception"]
    assert group_is_gone(daemon.running.pid)


def test_a_second_service_on_the_same_socket(started: Callable[..., Daemon]) -> None:
    """It reports that and ends; the first one keeps its mail, its counters and its socket."""
    daemon = started(exporter__listen="off")
    first = daemon.program
    daemon.start()
    assert daemon.ended() == 1
    assert f"milter.socket {daemon.folder}/sock: another process serves this socket" in daemon.running.log.read_text()
    daemon.program = first
    assert daemon.send().accepted
    assert [*(daemon.folder / "metrics").glob("counter_0.db")]


def test_a_second_service_on_the_same_exporter_port(started: Callable[..., Daemon]) -> None:
    """It reports that and ends; the counters of the first one stay."""
    daemon = started()
    assert daemon.send().accepted
    first = daemon.program
    daemon.settings = {"milter.socket": f"unix:{daemon.folder}/other"}
    daemon.start()
    assert daemon.ended() == 1
    assert (
        f"exporter.listen: cannot listen on 127.0.0.1:{daemon.port}: Address already in use. Choose "
        in daemon.running.log.read_text()
    )
    daemon.program, daemon.settings = first, {}
    assert daemon.send().accepted
    daemon.wait_metric("messages_total", 2, action="accept")


def test_a_stale_socket_is_replaced(own: Fleet) -> None:
    """The service starts although a dead process has left a socket file."""
    daemon = own()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(daemon.folder / "sock"))
    daemon.start()
    daemon.wait_ready()
    assert daemon.send().accepted


def test_a_file_in_the_place_of_the_socket_is_not_touched(own: Fleet) -> None:
    """A file of another kind is never removed."""
    daemon = own()
    (daemon.folder / "sock").write_text("mine")
    daemon.start()
    assert daemon.ended() == 1
    assert "exists and is not a socket. Remove it, or choose another path." in daemon.running.log.read_text()
    assert (daemon.folder / "sock").read_text() == "mine"


def test_the_socket_has_its_mode(started: Callable[..., Daemon]) -> None:
    """As configured, from the first moment."""
    daemon = started(milter__socket_mode="0600")
    assert (daemon.folder / "sock").stat().st_mode & 0o777 == 0o600


def test_tcp(started: Callable[..., Daemon]) -> None:
    """The milter socket may be a TCP port."""
    port = ports.choose().number
    started(milter__socket=f"inet:{port}@127.0.0.1")
    with MTA.open(f"inet:{port}@127.0.0.1") as mta:
        assert mta.send_message().accepted
        assert mta.send_message(VIRUS).reply.smtp.startswith(b"550")


# Health


def test_health(started: Callable[..., Daemon]) -> None:
    """Ready while a canary passes; alive as long as a worker runs."""
    daemon = started()
    assert (daemon.get("/readyz")[0], daemon.get("/healthz")[0]) == (200, 200)
    daemon.clamd.behaviour = lies.always_ok
    wait_until(lambda: daemon.get("/readyz")[0] == 503, PATIENCE, "not ready")
    assert f"clamd {daemon.clamd.address}: " in daemon.get("/readyz")[1]
    assert daemon.get("/healthz") == (200, "ok\n")
    daemon.clamd.behaviour = lies.honest
    wait_until(lambda: daemon.get("/readyz")[0] == 200, PATIENCE, "ready")


# Bugs of ours


def test_a_bug_is_a_tempfail(own: Fleet) -> None:
    """451, one line with the traceback, one counted exception, one line of the message; others are served."""
    daemon = own()
    daemon.command = (sys.executable, BROKEN, "decide", "run")
    daemon.start()
    daemon.wait_ready()
    with daemon.mta() as mta:
        bug = Message(sender=b"<bug@example.org>", queue_id=b"BUG")
        assert mta.send_message(bug).reply.smtp == b"451 4.3.0 Internal error, try again later (BUG)"
        assert mta.send_message().accepted
    (line,) = daemon.logged("exception")
    assert (line["exception"], line["where"]) == ("RuntimeError: defect in decide", "eom")
    assert any("pipeline.py" in frame for frame in line["traceback"])
    daemon.wait_metric("exceptions_total", 1)
    assert (daemon.line_of("BUG")["action"], daemon.line_of("BUG")["rule"]) == ("tempfail", "exception")


def test_a_bug_that_escapes_is_a_tempfail(own: Fleet) -> None:
    """Even what no handler takes does not accept a message."""
    daemon = own()
    daemon.command = (sys.executable, BROKEN, "escape", "run")
    daemon.start()
    daemon.wait_ready()
    assert daemon.send().reply.smtp == b"451 4.3.2 Please try again later"


# A process that hangs; its figures are a tenth of those in force, by a defect of `broken_service`


@pytest.fixture
def broken(own: Fleet) -> Callable[..., Daemon]:
    """A ready service of the test's own with a defect."""

    def with_defect(defect: str, **settings: object) -> Daemon:
        daemon = own(**settings)
        daemon.command = (sys.executable, BROKEN, defect, "run")
        daemon.start()
        daemon.wait_ready()
        return daemon

    return with_defect


def wait_replaced(daemon: Daemon, why: str) -> None:
    """Wait until the hang of the only worker was logged, and mail is accepted again."""
    daemon.wait_logged("child_died", child="worker 0")
    assert [line["why"] for line in daemon.logged("child_hangs", child="worker 0")] == [why]
    wait_until(lambda: daemon.send().accepted, PATIENCE, "mail")
    daemon.wait_metric("worker_respawns_total", 1)


def test_a_stopped_worker_is_replaced(broken: Callable[..., Daemon]) -> None:
    """The supervisor notices that the worker gives no sign of life, and kills it."""
    daemon = broken("impatient")
    daemon.workers()[0].suspend()
    wait_replaced(daemon, "its main thread has given no sign of life for 2 s")
    assert daemon.logged("child_died")[0]["status"] == "killed by SIGKILL"


def test_a_stopped_exporter_is_replaced(broken: Callable[..., Daemon]) -> None:
    """A process that serves no mail is watched as well."""
    daemon = broken("impatient")
    (exporter,) = set(daemon.children()) - set(daemon.workers())
    exporter.suspend()
    daemon.wait_logged("child_hangs", child="exporter")
    daemon.wait_logged("child_died", child="exporter")
    assert daemon.get("/healthz") == (200, "ok\n")


def test_a_worker_with_a_stuck_eom_is_replaced(broken: Callable[..., Daemon]) -> None:
    """The MTA loses the connection, so the client keeps the message, and the scan slot is free again."""
    daemon = broken("deadlock", limits__concurrent_scans=1)
    with pytest.raises(ConnectionError):
        daemon.send(Message(sender=b"<bug@example.org>", queue_id=b"BUG"))
    wait_replaced(daemon, "the message BUG has made no progress for 2 s")


def test_a_libmilter_that_does_not_answer_is_replaced(broken: Callable[..., Daemon]) -> None:
    """The main thread notices a stuck libmilter even if no message is open."""
    daemon = broken("mute")
    wait_replaced(daemon, "libmilter has not answered for 2 s")


def test_a_long_scan_is_no_hang(broken: Callable[..., Daemon]) -> None:
    """A scan that takes longer than the limit for a hang gives signs of life all the time."""
    daemon = broken("impatient")
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(slow)
    with daemon.mta() as mta:
        half_sent(mta, Message())
        mta.raw(encode(Command.EOM))
        assert [mta.read().code for _ in range(5)] == [Code.PROGRESS] * 5  # one a second at most
        slow.released.set()
        wait_until(lambda: mta.read().code is Code.CONTINUE, PATIENCE, "the decision")
    assert daemon.logged("child_hangs") == []


# Sessions that use up the descriptors


def test_idle_sessions_leave_descriptors_for_mail(own: Fleet) -> None:
    """With half of its descriptors in use a worker serves its open sessions, and new ones are closed soon."""
    daemon = own()
    daemon.command = ("prlimit", "--nofile=200", *daemon.command)
    daemon.start()
    daemon.wait_ready()
    with ExitStack() as idle:
        sessions: list[MTA] = []
        with suppress(ConnectionError):
            while len(sessions) < 200:
                sessions.append(idle.enter_context(daemon.mta()))
        assert 20 < len(sessions) < 150
        with pytest.raises(ConnectionError):
            daemon.mta()
        assert sessions[0].send_message(VIRUS).reply.smtp.startswith(b"550")
        assert [line["limit"] for line in daemon.logged("sessions_full")] == [200]
        wait_until(lambda: daemon.metric("sessions_refused_total") >= 2, PATIENCE, "the count")
        assert len(daemon.worker_fds()) < 150
    wait_until(lambda: accepts_mail(daemon) and daemon.send().accepted, PATIENCE, "mail")
