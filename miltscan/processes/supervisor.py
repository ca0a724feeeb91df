"""Keeps a set of child processes running: prefork, respawn with back-off, reload, drain. It knows nothing of mail.

The supervisor starts no thread, so a fork is safe at any time. Each child holds one end of a pipe. Orders go down the
pipe, and READY comes up. When the supervisor dies the pipe ends, which the child notices.

Signals: TERM and INT start the drain, HUP reloads, USR2 starts the drain for a successor.

A child that ends before any instance of its role was ready ends the service: respawning it would hide a broken setup.
Later a dead child is replaced: at once if it ran for a while, else after a pause that grows with each early end.

A child that hangs is killed, and so replaced: its main thread must give signs of life (`ChildLink.beat`). KILL also
ends a process that is stopped.
"""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Protocol

from miltscan.processes.attention import Attention
from miltscan.processes.link import DRAIN, READY, ChildLink, link_pair, received
from miltscan.processes.name import show_name
from miltscan.processes.signals import Signals, reset

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)
_TICK = 1.0  # seconds between two calls of Hooks.tick, at most
_SILENCE = 30.0  # seconds between two signs of life after which a child hangs: many times what a busy host delays it
_START = 300.0  # the same until the child is ready: a start reads files and looks hosts up
_STABLE_AFTER = 5.0  # seconds of life after which the end of a child no longer counts as a failed start
_LAST = 10.0  # seconds for the children that outlive the others: they serve no mail, and may wait for another host
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 30.0


@dataclass(frozen=True, slots=True)
class Role:
    """What a child does: `main` runs in it. A child that `outlives` the others is ended by TERM after them."""

    name: str
    main: Callable[[ChildLink], None]
    outlives: bool = False


class Hooks(Protocol):
    """What the service does at each event, in the supervisor's process. An exception in a hook ends the supervisor."""

    def ready(self) -> None:
        """Every child is ready; called once."""

    def stopping(self, *, restarts: bool) -> None:
        """The drain begins, perhaps for a successor in this process; called once, or again if TERM ends the restart."""

    def ended(self, role: Role, status: str, pause: float | None) -> None:
        """A child ended; it is replaced after `pause` seconds, or not at all (None) while the service stops."""

    def hangs(self, role: Role, silence: float) -> None:
        """A child has given no sign of life for `silence` seconds and is killed; `ended` follows."""

    def failed(self, role: Role, error: BaseException) -> None:
        """Called in the child before it ends, with the exception that its `main` raised."""

    def tick(self) -> None:
        """Called at least every few seconds."""

    def may_restart(self) -> bool:
        """Whether a successor in this process could start; called before a drain for it."""

    def reload(self) -> object | None:
        """Return the order that every child receives, or None for no order."""

    def added(self) -> Sequence[Role]:
        """Return the children that the service needs since this reload; called after each that gave an order."""


@dataclass(slots=True)
class _Child:
    role: Role
    pid: int
    link: ChildLink
    started: float
    alive: float
    """When the last sign of life was seen, by the supervisor's attention."""
    beats: int = 0
    ready: bool = False


@dataclass(slots=True)
class _Slot:
    """The place of one child: its present instance, when the next one is due, and how many early ends in a row."""

    role: Role
    child: _Child | None = None
    due: float = 0.0
    failures: int = 0
    was_ready: bool = False


@dataclass(slots=True)
class Supervisor:
    """Runs `roles` until a signal stops it; children that live `drain_timeout` seconds into the drain are killed.

    With `leave_after`, those that live so many seconds into it are left to finish without the supervisor, so that a
    successor can start. `restarts`: the stop is for a successor in this process.
    """

    roles: Sequence[Role]
    hooks: Hooks
    drain_timeout: float
    leave_after: float | None = None
    restarts: bool = False
    _slots: list[_Slot] = field(default_factory=list)
    _attention: Attention = field(default_factory=lambda: Attention(2 * _TICK))
    _drain_ends: float | None = None  # set while the service stops
    _failed: bool = False
    _announced: bool = False

    def run(self) -> int:
        """Return the exit status: 0 after an ordered stop, 1 if a child could not start."""
        signals = Signals(_SIGNALS)
        self._slots = [_Slot(role) for role in self.roles]
        while self._drain_ends is None or any(self._children()):
            self._spawn_due()
            unready = [child.link for child in self._children() if not child.ready]
            wait([signals.fileno(), *unready], min(self._seconds_until_due(), _TICK))
            self.hooks.tick()
            self._note_ready()
            self._handle(signals.read())
            self._leave_busy()
            self._reap()
            self._kill_hung()
            self._kill_overdue()
        return int(self._failed)

    def _children(self) -> Iterator[_Child]:
        return (slot.child for slot in self._slots if slot.child)

    def _seconds_until_due(self) -> float:
        """Return the seconds until the next respawn, or until the drain must have ended."""
        now = time.monotonic()
        if self._drain_ends is not None:
            return max(0.0, self._drain_ends - now)  # `_TICK` bounds it, also for `leave_after`
        return min((max(0.0, slot.due - now) for slot in self._slots if not slot.child), default=_TICK)

    def _spawn_due(self) -> None:
        for slot in self._slots:
            if self._drain_ends is None and not slot.child and slot.due <= time.monotonic():
                try:
                    slot.child = self._spawn(slot.role)
                except OSError as error:  # no memory, process or descriptor is left, which may be temporary
                    slot.failures += 1
                    self._schedule(slot, f"not started: {error.strerror}")

    def _spawn(self, role: Role) -> _Child:
        ours, theirs = link_pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            self._run_child(role, theirs)
        theirs.close()
        os.set_blocking(ours.fileno(), False)  # a child that reads no orders must not block the supervisor
        return _Child(role, pid, ours, time.monotonic(), self._attention.now)

    def _run_child(self, role: Role, link: ChildLink) -> None:
        """Run in the child; never returns."""
        status = 1
        try:
            reset(_SIGNALS, signal.SIG_DFL)
            show_name(f"miltscan {role.name}")
            for sibling in self._children():
                sibling.link.close()  # while a sibling's pipe is open here, the sibling cannot see the supervisor die
            role.main(link)
            status = 0
        except BaseException as error:  # noqa: BLE001 - the process ends here, whatever was raised
            self.hooks.failed(role, error)
        finally:
            os._exit(status)

    def _note_ready(self) -> None:
        for child in self._children():
            if not child.ready and child.link.poll():
                child.ready = received(child.link) == READY
        if not self._announced and all(slot.child and slot.child.ready for slot in self._slots):
            self._announced = True
            self.hooks.ready()

    def _handle(self, signals: set[signal.Signals]) -> None:
        if signals & {signal.SIGTERM, signal.SIGINT}:
            if self.restarts:
                self.restarts = False
                self.hooks.stopping(restarts=False)
            self._stop()
        elif self._drain_ends is None:
            if signal.SIGUSR2 in signals and self.hooks.may_restart():
                self.restarts = True
                self._stop()
            elif signal.SIGHUP in signals and (order := self.hooks.reload()) is not None:
                self._send(self._children(), order)
                # a broken one must not end a service that works without it: it counts as one that was ready before
                self._slots += [_Slot(role, was_ready=True) for role in self.hooks.added()]

    def _stop(self) -> None:
        if self._drain_ends is None:
            self._drain_ends = time.monotonic() + self.drain_timeout
            self.hooks.stopping(restarts=self.restarts)
            self._send((child for child in self._children() if not child.role.outlives), DRAIN)

    def _send(self, children: Iterator[_Child], order: object) -> None:
        for child in children:
            try:
                child.link.send(order)
            except OSError:  # it has just died, which `_reap` will see, or it has read no orders for a long time
                continue

    def _leave_busy(self) -> None:
        """Leave the children that have not ended in time: they drain on their own, as their link ends."""
        if self.leave_after is None or self._drain_ends is None or self.restarts:
            return
        if time.monotonic() >= self._drain_ends - self.drain_timeout + self.leave_after:
            for slot in self._slots:
                if slot.child and not slot.child.role.outlives:
                    slot.child.link.close()
                    slot.child = None

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.child and (status := _status(slot.child.pid)) is not None:
                child, slot.child = slot.child, None
                self._note_end(slot, child, status)
        if self._drain_ends is not None and all(child.role.outlives for child in self._children()):
            self._drain_ends = min(self._drain_ends, time.monotonic() + _LAST)
            for child in self._children():
                os.kill(child.pid, signal.SIGTERM)

    def _note_end(self, slot: _Slot, child: _Child, status: str) -> None:
        ready = child.ready or (child.link.poll() and received(child.link) == READY)
        child.link.close()
        slot.was_ready |= ready
        stable = ready and time.monotonic() - child.started >= _STABLE_AFTER
        slot.failures = 0 if stable else slot.failures + 1
        self._schedule(slot, status)

    def _schedule(self, slot: _Slot, status: str) -> None:
        """Schedule the next instance, or stop the service if no instance in this slot was ever ready."""
        pause = _backoff(slot.failures)
        slot.due = time.monotonic() + pause
        if self._drain_ends is None and not slot.was_ready:
            self._failed = True
            self._stop()
        self.hooks.ended(slot.role, status, pause if self._drain_ends is None else None)

    def _kill_hung(self) -> None:
        """Kill the children that have given no sign of life for too long."""
        now = self._attention.look(time.monotonic())
        for child in self._children():
            if (beats := child.link.beats) != child.beats:
                child.beats, child.alive = beats, now
            elif now - child.alive > (_SILENCE if child.ready else _START):
                self.hooks.hangs(child.role, now - child.alive)
                os.kill(child.pid, signal.SIGKILL)
                child.alive = math.inf  # once: a process that waits for a dead disk ends when the disk answers

    def _kill_overdue(self) -> None:
        """Kill the children that have not ended in time."""
        if self._drain_ends is not None and time.monotonic() >= self._drain_ends:
            for child in self._children():
                os.kill(child.pid, signal.SIGKILL)
            self._drain_ends = time.monotonic() + 1.0


def _backoff(failures: int) -> float:
    """Return the seconds to wait before the next start after so many early ends in a row."""
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(failures - 1, 30)) if failures else 0.0  # 2.0 ** 1024 raises


def _status(pid: int) -> str | None:
    """Return how the child ended, or None if it is alive."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        return None
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal, which has no name
        return f"killed by signal {-code}"
