"""Keeps a set of child processes running: prefork, respawn with back-off, reload, drain. Knows nothing of mail.

It starts no thread, so a fork is safe at any time. Each child holds one end of a pipe: orders come down it, the word
that the child is ready goes up, and its end tells the child that the supervisor has died. Signals: TERM and INT
drain, HUP reloads.

A child that ends before it was ever ready, in any instance, ends the service: looping would hide a broken set-up.
Later it is replaced: at once if it had lived a while, else after a growing pause.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Protocol

from miltscan.processes.link import DRAIN, READY, Link, received
from miltscan.processes.signals import Signals, reset

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_BEAT = 5.0  # seconds between two beats, at most
_SETTLED = 5.0  # seconds after which a child's end is no longer held against its start
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Role:
    """What a child is: `main` runs in it. One that `outlives` the others is ended by TERM after them."""

    name: str
    main: Callable[[Link], None]
    outlives: bool = False


class Hooks(Protocol):
    """What the service wants to know or do, in the supervisor's process; what one raises ends the supervisor."""

    def ready(self) -> None:
        """Every child is ready (told once)."""

    def stopping(self) -> None:
        """The drain begins (told once)."""

    def ended(self, role: Role, status: str, pause: float | None) -> None:
        """A child ended; it is replaced after `pause` seconds, None while the service stops."""

    def failed(self, role: Role, error: BaseException) -> None:
        """In the child, before it ends: what its `main` raised."""

    def beat(self) -> None:
        """Told every few seconds at least, while nothing else happens too."""

    def reload(self) -> object | None:
        """A new order for every child; None if there is none."""


@dataclass(slots=True)
class _Child:
    role: Role
    pid: int
    link: Link
    born: float
    ready: bool = False


@dataclass(slots=True)
class _Slot:
    """The place of one child: who is in it, when the next one is due, and how often in a row it failed early."""

    role: Role
    child: _Child | None = None
    due: float = 0.0
    failures: int = 0
    proven: bool = False


@dataclass(slots=True)
class Supervisor:
    """Runs `roles` until told to stop; after `patience` seconds of a drain the children are killed."""

    roles: Sequence[Role]
    hooks: Hooks
    patience: float
    _posts: list[_Slot] = field(default_factory=list)
    _stopping: float | None = None
    _failed: bool = False
    _announced: bool = False

    def run(self) -> int:
        """The exit status: 0 after an ordered stop, 1 if a child could not start."""
        signals = Signals(_SIGNALS)
        self._posts = [_Slot(role) for role in self.roles]
        while self._stopping is None or any(self._children()):
            self._spawn_due()
            wait([signals.fileno(), *self._unready()], min(self._pause(), _BEAT))
            self.hooks.beat()
            self._listen()
            self._obey(signals.read())
            self._reap()
            self._kill_late()
        return int(self._failed)

    def _children(self) -> Iterator[_Child]:
        return (post.child for post in self._posts if post.child)

    def _unready(self) -> list[Link]:
        return [child.link for child in self._children() if not child.ready]

    def _pause(self) -> float:
        """Seconds until something is due: a respawn, or the end of our patience."""
        now = time.monotonic()
        if self._stopping is not None:
            return max(0.0, self._stopping - now)
        return min((max(0.0, post.due - now) for post in self._posts if not post.child), default=_BEAT)

    def _spawn_due(self) -> None:
        for post in self._posts:
            if self._stopping is None and not post.child and post.due <= time.monotonic():
                try:
                    post.child = self._spawn(post.role)
                except OSError as error:  # no memory, process or descriptor is left: that may pass
                    post.failures += 1
                    self._schedule(post, f"not started: {error.strerror}")

    def _spawn(self, role: Role) -> _Child:
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._become(role, theirs)
        theirs.close()
        os.set_blocking(ours.fileno(), False)  # a child that takes no orders must not hold us up
        return _Child(role, pid, ours, time.monotonic())

    def _become(self, role: Role, link: Link) -> None:
        """In the child; never returns. The links of its siblings are closed, or they would not see us die."""
        status = 1
        try:
            reset(_SIGNALS, signal.SIG_DFL)
            for sibling in self._children():
                sibling.link.close()
            role.main(link)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the process ends here, whatever it is
            self.hooks.failed(role, error)
        finally:
            os._exit(status)

    def _listen(self) -> None:
        for child in self._children():
            if not child.ready and child.link.poll():
                child.ready = received(child.link) == READY
        if not self._announced and all(post.child and post.child.ready for post in self._posts):
            self._announced = True
            self.hooks.ready()

    def _obey(self, signals: set[signal.Signals]) -> None:
        if signals & {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif signal.SIGHUP in signals and self._stopping is None:
            order = self.hooks.reload()
            if order is not None:
                self._send(self._children(), order)

    def _stop(self) -> None:
        if self._stopping is None:
            self._stopping = time.monotonic() + self.patience
            self.hooks.stopping()
            self._send((child for child in self._children() if not child.role.outlives), DRAIN)

    def _send(self, children: Iterator[_Child], order: object) -> None:
        for child in children:
            try:
                child.link.send(order)
            except OSError:  # it has just died, which will be seen, or it has not taken its orders for long
                continue

    def _reap(self) -> None:
        for post in self._posts:
            if post.child and (status := _status(post.child.pid)) is not None:
                child, post.child = post.child, None
                self._replace_child(post, child, status)
        if self._stopping is not None and all(child.role.outlives for child in self._children()):
            for child in self._children():
                os.kill(child.pid, signal.SIGTERM)

    def _replace_child(self, post: _Slot, child: _Child, status: str) -> None:
        ready = child.ready or (child.link.poll() and received(child.link) == READY)
        child.link.close()
        post.proven |= ready
        lived = time.monotonic() - child.born
        post.failures = 0 if ready and lived >= _SETTLED else post.failures + 1
        self._schedule(post, status)

    def _schedule(self, post: _Slot, status: str) -> None:
        """When the post is filled again; the service stops instead if nobody was ever ready in it."""
        pause = _backoff(post.failures)
        post.due = time.monotonic() + pause
        if self._stopping is None and not post.proven:
            self._failed = True
            self._stop()
        self.hooks.ended(post.role, status, pause if self._stopping is None else None)

    def _kill_late(self) -> None:
        """Kill what has not ended in time."""
        if self._stopping is not None and time.monotonic() >= self._stopping:
            for child in self._children():
                os.kill(child.pid, signal.SIGKILL)
            self._stopping = time.monotonic() + 1.0


def _backoff(failures: int) -> float:
    """Seconds to wait before the next start after so many early ends in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 30)) if failures else 0.0  # 2.0 ** 1024 raises


def _status(pid: int) -> str | None:
    """How the child ended, in words; None if it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else f"killed by {_signal_name(-code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
