"""A supervisor of plain functions, run as a program: it prints a line on standard output for each event.

Argument: a JSON object with `roles` and `added` (lists of `[name, kind]`, a kind being a function below),
`drain_timeout`, `stable_after`, `pause`, `silence` and `last` (seconds), `order` (the text of a reload; "invalid"
forbids a restart), `leave_after` (seconds or nothing), `forks_failing` (the calls of fork() that fail, from 1).
"""

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from miltscan.processes import supervisor
from miltscan.processes.link import DRAIN, READY, ChildLink
from miltscan.processes.supervisor import Role, Supervisor


def report(*words: object) -> None:
    """Write one line in one call, so that lines of several processes do not mix."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def _obey(name: str, link: ChildLink) -> None:
    while True:
        try:
            order = link.recv()
        except (EOFError, OSError):  # reset, if it died before it read that we are ready
            order = None
        report(name, "orphaned" if order is None else f"order {order:.20}")
        if order in {None, DRAIN}:
            return


def good(name: str, link: ChildLink) -> None:
    """Be ready, report each order, and end as ordered."""
    link.send(READY)
    report(name, "runs", os.getpid())
    _obey(name, link)


def never_ready(name: str, link: ChildLink) -> None:
    """Obey orders but never report readiness."""
    report(name, "runs", os.getpid())
    _obey(name, link)


def fails(_name: str, _link: ChildLink) -> None:
    """Raise before it is ready."""
    raise RuntimeError("cannot start")


def leaves(_name: str, _link: ChildLink) -> None:
    """End before it is ready, without an exception."""


def ready_and_gone(_name: str, link: ChildLink) -> None:
    """Report readiness and end at once."""
    link.send(READY)


def stuck(name: str, link: ChildLink) -> None:
    """Be ready, then ignore orders and signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    link.send(READY)
    report(name, "runs", os.getpid())
    while True:
        signal.pause()


def beating(name: str, link: ChildLink) -> None:
    """Be ready, give signs of life, report every 50 of them, and end as ordered."""
    link.send(READY)
    report(name, "runs", os.getpid())
    beats = 0
    while not link.poll(0.01):
        link.beat()
        beats += 1
        if beats % 50 == 0:
            report(name, "beats 50")
    _obey(name, link)


def hanging(name: str, link: ChildLink) -> None:
    """Give one sign of life and no other."""
    link.beat()
    stuck(name, link)


def busy(name: str, link: ChildLink) -> None:
    """Be ready, and drain until the supervisor is gone."""
    good(name, link)
    _obey(name, link)


def lasting(name: str, link: ChildLink) -> None:
    """Outlive the others until a signal ends it."""

    def end(_number: int, _frame: object) -> None:
        report(name, "terminated")
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    link.send(READY)
    report(name, "runs", os.getpid())
    while True:
        signal.pause()


def lasting_stuck(name: str, link: ChildLink) -> None:
    """Outlive the others, and ignore signals."""
    stuck(name, link)


def good_once(name: str, link: ChildLink) -> None:
    """Be good in the first instance, fail before readiness in the second, and be good in the third."""
    if INSTANCES[name] == 2:
        os._exit(7)
    good(name, link)


KINDS: dict[str, Callable[[str, ChildLink], None]] = {
    function.__name__: function
    for function in (
        beating,
        busy,
        good,
        good_once,
        fails,
        hanging,
        lasting,
        lasting_stuck,
        leaves,
        never_ready,
        ready_and_gone,
        stuck,
    )
}
INSTANCES: dict[str, int] = {}
"""How often each role was started; counted in the supervisor's process, by `ended`."""


class Hooks:
    """Reports each call; each reload is a new order."""

    def __init__(self, order: str, added: list[Role]) -> None:
        self._order = order
        self._added = added
        self._reloads = count(1)

    def ready(self) -> None:
        """Report that every child is ready."""
        report("all ready")

    def stopping(self, *, restarts: bool) -> None:
        """Report that the drain begins."""
        report("restarting" if restarts else "stopping")

    def may_restart(self) -> bool:
        """Return whether the order is valid."""
        return self._order != "invalid"

    def ended(self, role: Role, status: str, pause: float | None) -> None:
        """Report the end of a child."""
        INSTANCES[role.name] += 1
        report("ended", role.name, status, "pause", pause)

    def hangs(self, role: Role, silence: float) -> None:
        """Report that a child hangs."""
        report("hangs", role.name, silence >= supervisor._SILENCE)  # noqa: SLF001 - as below

    def failed(self, role: Role, error: BaseException) -> None:
        """Report the exception of a child."""
        report("failed", role.name, repr(error))

    def tick(self) -> None:
        """Do nothing."""

    def reload(self) -> object | None:
        """Return an order at every second reload; the others find a mistake in the file."""
        number = next(self._reloads)
        report("reload", number)
        return f"{self._order}{number}" if number % 2 else None

    def added(self) -> list[Role]:
        """Return the roles that the first reload adds."""
        added, self._added = self._added, []
        return added


def _failing(fork: Callable[[], int], calls: list[int]) -> Callable[[], int]:
    number = count(1)

    def failing() -> int:
        if next(number) in calls:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return fork()

    return failing


def main(arguments: dict[str, Any]) -> int:
    """Return the exit status of the supervisor."""
    supervisor._STABLE_AFTER = arguments["stable_after"]  # noqa: SLF001 - a test cannot wait for five seconds
    supervisor._SILENCE = arguments["silence"]  # noqa: SLF001
    supervisor._LAST = arguments["last"]  # noqa: SLF001
    supervisor._TICK = min(5.0, arguments["silence"] / 4)  # noqa: SLF001
    supervisor._FIRST_PAUSE = arguments["pause"]  # noqa: SLF001
    supervisor.os.fork = _failing(os.fork, arguments["forks_failing"])  # type: ignore[attr-defined]
    roles, added = (
        [
            Role(name, lambda link, name=name, kind=kind: KINDS[kind](name, link), outlives=kind.startswith("lasting"))  # type: ignore[misc]
            for name, kind in arguments[which]
        ]
        for which in ("roles", "added")
    )
    INSTANCES.update(dict.fromkeys((role.name for role in (*roles, *added)), 1))
    hooks = Hooks(arguments["order"], added)
    return Supervisor(roles, hooks, arguments["drain_timeout"], arguments.get("leave_after")).run()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
