"""The faults of the page docs/status-faults.md: how each is caused in a sandwich, and how it is repaired."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.harness import messages
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.watched import WatchedSandwich

_HOURS = 3 * 3600.0  # seconds for which a message has waited
_WAITING = 12  # messages
_PIPE = 4096  # bytes, the smallest pipe: some lines of the log fill it
_RUN = """import sys
from pathlib import Path
from miltscan.cli import run_cli
from miltscan.engines.clamd import local
local.DEFAULT_FILE = Path(sys.argv.pop(1))
run_cli()"""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: the name of its picture, its heading, the text by which the page names it, and how it is caused."""

    name: str
    title: str
    shown: str
    caused: Callable[[WatchedSandwich], AbstractContextManager[None]]


def send(sandwich: WatchedSandwich, clean: int, infected: int = 0) -> None:
    """Send messages one after another, whatever the replies are."""
    for number in range(clean):
        sandwich.send(messages.as_wire(messages.clean_attachment(20_000, seed=number)))
    for _ in range(infected):
        sandwich.send(messages.as_wire(messages.infected()))


def start(sandwich: WatchedSandwich, log: int | None = None) -> None:
    """Start miltscan again, for which the configuration of this sandwich's clamd is that of the host.

    Its log goes to the descriptor `log`, if there is one.
    """
    miltscan = sandwich.miltscan
    miltscan.stop()
    clamd_conf = sandwich.clamd.folder / "clamd.conf"
    miltscan.program = sandwich.programs.start(
        miltscan.name,
        [sys.executable, "-c", _RUN, clamd_conf, "run", "--config", miltscan.configuration],
        stdout=log,
    )
    miltscan.wait_ready()
    wait_until(lambda: miltscan.ready, PATIENCE, "an engine that is up")


@contextmanager
def _clamd_down(sandwich: WatchedSandwich) -> Iterator[None]:
    sandwich.clamd.stop()
    send(sandwich, clean=3)
    yield
    sandwich.clamd.start()
    sandwich.clamd.wait_ready()


@contextmanager
def _no_signatures(sandwich: WatchedSandwich) -> Iterator[None]:
    database = sandwich.clamd.folder / "database"
    sandwich.clamd.stop()
    database.rename(sandwich.clamd.folder / "kept")
    database.mkdir()
    yield
    database.rmdir()
    (sandwich.clamd.folder / "kept").rename(database)
    sandwich.clamd.start()
    sandwich.clamd.wait_ready()


@contextmanager
def _no_temporary_folder(sandwich: WatchedSandwich) -> Iterator[None]:
    shutil.rmtree(sandwich.clamd.temporary)
    yield
    sandwich.clamd.temporary.mkdir()


@contextmanager
def _no_room(sandwich: WatchedSandwich) -> Iterator[None]:
    folder = sandwich.folder / "spool"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def _worker_hangs(sandwich: WatchedSandwich) -> Iterator[None]:
    worker = sandwich.miltscan.workers()[0]
    worker.suspend()
    yield
    os.kill(worker.pid, signal.SIGCONT)


@contextmanager
def _log_stalled(sandwich: WatchedSandwich) -> Iterator[None]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
    start(sandwich, log=writing)
    os.close(writing)
    send(sandwich, clean=20, infected=2)
    yield
    sandwich.miltscan.stop()
    os.close(reading)


@contextmanager
def _foreign_socket(sandwich: WatchedSandwich) -> Iterator[None]:
    assert sandwich.milter_socket
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(sandwich.folder / "run" / "other"))
        other.listen(1)
        (sandwich.folder / "run" / "other").rename(sandwich.milter_socket)
        yield


@contextmanager
def _delivery_down(sandwich: WatchedSandwich) -> Iterator[None]:
    sandwich.delivery.stop()
    send(sandwich, clean=_WAITING)
    yield
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    sandwich.incoming.drain()


@contextmanager
def _old_queue(sandwich: WatchedSandwich) -> Iterator[None]:
    """Messages that arrived while the delivery sendmail was down, and that no run of the queue has sent yet."""
    sandwich.incoming.drain()
    sandwich.delivery.stop()
    send(sandwich, clean=_WAITING)
    wait_until(lambda: len(sandwich.incoming.queued()) == _WAITING, PATIENCE, f"{_WAITING} messages in the queue")
    sandwich.delivery.start()
    sandwich.delivery.wait_ready()
    for number, file in enumerate(sorted(sandwich.incoming.queue.glob("?f*"))):
        then = time.time() - _HOURS + 60 * number
        os.utime(file, (then, then))
    yield
    sandwich.incoming.drain()


FAULTS = (
    Fault("clamd-down", "clamd is down", "connect: ", _clamd_down),
    Fault("no-signatures", "clamd has no signatures", "has no signatures", _no_signatures),
    Fault("no-folder", "The temporary folder of clamd is gone", "its temporary folder", _no_temporary_folder),
    Fault("no-room", "The spool folder lacks room", "less than one message", _no_room),
    Fault("foreign-socket", "Another process has the milter socket", "belongs to another process", _foreign_socket),
    Fault("delivery-down", "The delivery sendmail is down", "accepts no connections", _delivery_down),
    Fault("old-queue", "Old mail waits in the incoming queue", "the oldest for", _old_queue),
    Fault("worker-hangs", "A worker hangs", "no sign of life", _worker_hangs),
    Fault("log-stalled", "The log is not read", "cannot be written by", _log_stalled),
)
"""Faults that stop mail first."""
