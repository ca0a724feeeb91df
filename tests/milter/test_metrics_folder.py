"""A metrics folder that is full, gets full or vanishes costs no mail and no process; two services never share one."""

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import COMMAND, Daemon

FILL = "head -c 2m /dev/zero >fill 2>/dev/null;"
IN_MEMORY = "degraded: exporter.directory: cannot be written, and counts stay in memory (1 process)\n"


def on_small_disk(daemon: Daemon, then: str = "") -> None:
    """Give the service a metrics folder of 1 MB that only its own processes see, so that it ends with them."""
    folder = daemon.folder / "metrics"
    folder.mkdir()
    script = f'mount -t tmpfs -o size=1m tmpfs {folder} && (cd {folder}; {then}:) && exec "$@"'
    daemon.command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *COMMAND)


def seen_by(daemon: Daemon) -> Path:
    """The metrics folder, as the processes of the service see it."""
    return Path(f"/proc/{daemon.running.pid}/root{daemon.folder}/metrics")


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (folder / "fill").open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


def in_memory() -> set[str]:
    """The metrics folders of services whose own is full."""
    return {path.name for path in Path("/dev/shm").glob("miltscan-metrics-*")}  # noqa: S108 - only read


def still_scans(daemon: Daemon) -> None:
    """A clean message is accepted, an infected one rejected, and both are counted."""
    before = daemon.metric("messages_total", outcome="clean"), daemon.metric("detections_total")
    assert daemon.send().accepted
    assert not daemon.send(Message(body=EICAR)).accepted
    wait_until(lambda: daemon.metric("messages_total", outcome="clean") == before[0] + 1, PATIENCE, "a clean message")
    wait_until(lambda: daemon.metric("detections_total") > before[1], PATIENCE, "an infected message")


def test_a_folder_that_is_full_at_the_start(own: Fleet) -> None:
    """The service starts, scans and counts; one log line, /readyz and `check` name the full folder."""
    daemon, before = own(), in_memory()
    on_small_disk(daemon, FILL)
    daemon.start()
    daemon.wait_ready()
    still_scans(daemon)
    wait_until(lambda: daemon.get("/readyz") == (200, IN_MEMORY), PATIENCE, "a degraded service")
    (line,) = daemon.logged("metrics_in_memory")
    assert line["why"] == f"{daemon.folder}/metrics: No space left on device"
    folder = f"{daemon.folder}/metrics"
    check = daemon.programs.start(
        "check", ["nsenter", "-m", "-t", str(daemon.running.pid), *COMMAND[:-1], "check", "-c", daemon.config]
    )
    check.process.wait(PATIENCE)
    assert f"exporter.directory: {folder} is full" in check.log.read_text()
    check.kill()
    assert in_memory() > before
    assert daemon.stop() == 0
    assert (daemon.logged("child_died"), in_memory()) == ([], before)


def test_a_folder_that_gets_full(own: Fleet) -> None:
    """Known counts and a new worker have their space; a file without space is written as soon as there is some."""
    daemon = own()
    on_small_disk(daemon)
    daemon.start()
    daemon.wait_ready()
    folder = seen_by(daemon)
    fill(folder)
    still_scans(daemon)
    daemon.workers()[0].kill()
    daemon.wait_logged("child_died", status="killed by SIGKILL")
    wait_until(daemon.engines_up, PATIENCE, "a new worker")
    still_scans(daemon)
    assert daemon.get("/readyz") == (200, "ok\n")
    with (folder / "counter_0.db").open():  # which keeps its space
        (folder / "counter_0.db").unlink()
        daemon.wait_logged("metrics_in_memory")
        assert daemon.send().accepted
        wait_until(lambda: daemon.get("/readyz") == (200, IN_MEMORY), PATIENCE, "a degraded service")
    (folder / "fill").unlink()
    daemon.wait_logged("metrics_on_disk")
    still_scans(daemon)
    wait_until(lambda: daemon.get("/readyz") == (200, "ok\n"), PATIENCE, "a service that is not degraded")
    assert daemon.stop() == 0
    assert len(daemon.logged("child_died")) == 1


def test_a_folder_that_vanishes(own: Fleet) -> None:
    """Every process writes its counts again, and none is lost."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    wait_until(daemon.engines_up, PATIENCE, "engines that are up")
    assert daemon.send().accepted
    daemon.wait_metric("messages_total", 1)
    (daemon.folder / "metrics").rename(daemon.folder / "gone")  # and not rmtree, which a new file would disturb
    wait_until(lambda: daemon.get("/readyz") == (200, "ok\n"), PATIENCE, "a service that is ready")
    daemon.wait_metric("messages_total", 1)
    daemon.wait_metric("workers_configured", 1)
    still_scans(daemon)
    assert daemon.logged("exception") == []


@pytest.fixture
def two(own: Fleet) -> Callable[[], tuple[Daemon, Daemon]]:
    """Two services with one metrics folder."""

    def start() -> tuple[Daemon, Daemon]:
        first, second = own(), own()
        first.start()
        first.wait_ready()
        second.settings = {"exporter.directory": str(first.folder / "metrics")}
        return first, second

    return start


def test_a_second_service_does_not_share_the_folder(two: Callable[[], tuple[Daemon, Daemon]]) -> None:
    """The second service ends with one line; the first one keeps its counts, and its death frees the folder."""
    first, second = two()
    assert first.send().accepted
    first.wait_metric("messages_total", 1)
    second.start()
    assert second.ended() == 1
    assert second.running.log.read_text() == (
        f"exporter.directory {first.folder}/metrics: in use by another miltscan (pid {first.running.pid}). "
        "Stop it first, or choose another exporter.directory.\n"
    )
    first.wait_metric("messages_total", 1)
    with first.mta() as mta:  # an open session: the orphaned worker outlives its supervisor
        mta.connect()
        first.running.signal(signal.SIGKILL)
        first.ended()
        second.start()
        second.wait_ready()
        assert second.send().accepted
        second.wait_metric("messages_total", 1)
    assert second.stop() == 0
