"""Fixtures of the milter tests: running services, shared between tests that want the same settings."""

import json
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from docs.generator import log_events
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import honest
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.daemon import Daemon

Fleet = Callable[..., Daemon]
_FIXED = ("milter.", "verify.", "probe.", "exporter.", "log.", "tracing.")
"""The tables with keys whose change requires a restart."""


def private_daemon(stack: ExitStack, settings: dict[str, object]) -> Daemon:
    """A service that is not started yet, in a folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="miltscan-"))  # short: a unix socket's path has 107 bytes
    stack.callback(shutil.rmtree, folder)
    clamd = stack.enter_context(FakeClamd.unix(folder / "clamd"))
    daemon = Daemon(folder, clamd, settings)
    stack.callback(documented, daemon)
    stack.callback(daemon.end)
    return daemon


def documented(daemon: Daemon) -> None:
    """Each line that the service has written is as docs/logging.md describes it, after any test."""
    wrong = [text for line in daemon.all_lines() for text in log_events.deviations(line)]
    assert wrong == []


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    """A running service with the given settings: the same one for all tests of a module, where a reload suffices."""
    running: dict[str, Daemon] = {}

    def with_settings(**settings: object) -> Daemon:
        dotted = {name.replace("__", "."): value for name, value in settings.items()}
        key = json.dumps({name: value for name, value in dotted.items() if name.startswith(_FIXED)}, sort_keys=True)
        if key not in running:
            running[key] = private_daemon(stack, dotted)
            running[key].start()
            running[key].wait_ready()
        elif running[key].settings != dotted:
            running[key].reload(**settings)
        return running[key]

    with ExitStack() as stack:
        yield with_settings
        for daemon in running.values():
            daemon.running.signal(signal.SIGTERM)
        for daemon in running.values():
            assert daemon.ended() == 0, daemon.running.tail()


@pytest.fixture
def shared(fleet: Fleet) -> Iterator[Fleet]:
    """A service of the fleet that is idle, honest and up before the test, and left so after it."""
    used: list[Daemon] = []

    def with_settings(**settings: object) -> Daemon:
        daemon = fleet(**settings)
        used.append(daemon)
        settle(daemon)
        return daemon

    yield with_settings
    for daemon in used:
        settle(daemon)


@pytest.fixture
def daemon(shared: Fleet) -> Daemon:
    """A service with default settings."""
    return shared()


@pytest.fixture
def own() -> Iterator[Fleet]:
    """A service of the test's own, not started; it may be killed, reloaded and left in any state."""
    with ExitStack() as stack:

        def with_settings(**settings: object) -> Daemon:
            return private_daemon(stack, {name.replace("__", "."): value for name, value in settings.items()})

        yield with_settings


def settle(daemon: Daemon) -> None:
    """Honest, up, nothing under way."""
    daemon.clamd.behaviour = honest
    daemon.clamd.contents.clear()
    wait_until(daemon.idle, PATIENCE, "an idle service")
