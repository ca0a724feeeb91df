"""The processes of the service: which there are, and what each does after its fork. Their life is the supervisor's.

What one of them alone needs is imported in it: the others, and whatever is forked later, do not carry it.
"""

# ruff: noqa: PLC0415  imports inside functions, for the reason above

import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from miltscan.config.keyfile import Loaded
from miltscan.daemon.sockets import PublicSocket
from miltscan.daemon.worker import MessageRecorder, TracingRecorder, Worker
from miltscan.processes.link import READY, Link
from miltscan.processes.signals import reset
from miltscan.processes.supervisor import Role
from miltscan.status.events import Reporter
from miltscan.telemetry import family, log, traces

_WORKER = "worker "
_EXPORTER = "exporter"
_TRACER = "tracer"
_PROBER = "prober"

TraceChannel = tuple[socket.socket, socket.socket]
"""Of traces: the workers' end and the tracer's."""


@dataclass(frozen=True, slots=True)
class Children:
    """All that the supervisor forks; `in_force` tells the settings and keys at that moment, which a reload changes.

    `web` is the exporter's socket, `events` its end of what each process tells by `reporter`.
    """

    in_force: Callable[[], Loaded]
    doors: Sequence[PublicSocket]
    web: socket.socket | None
    events: socket.socket
    reporter: Reporter
    way: TraceChannel | None

    def roles(self) -> list[Role]:
        """The workers of the first door, of the second one, numbered through, and the others."""
        settings = self.in_force().settings
        incoming, delivery = settings.milter.workers, settings.verify.workers
        posts = [door for door in self.doors for _ in range(delivery if door.verifies else incoming)]
        workers = [self._worker(number, door) for number, door in enumerate(posts)]
        others = [Role(_EXPORTER, self._export, outlives=True)] if self.web else []
        others += [Role(_TRACER, self._trace, outlives=True)] if self.way else []
        others += [Role(_PROBER, self._probe)] if settings.probe.interval else []
        return [*workers, *others]

    def _worker(self, number: int, door: PublicSocket) -> Role:
        def main(link: Link) -> None:
            self._keep_only(door.public)
            self._attach(str(number))
            self.events.close()
            watch = self._watch(number)
            Worker(self.in_force(), watch, socket.gethostname(), verifies=door.verifies).run(door.public, link)

        return Role(f"{_WORKER}{number}", main)

    def _watch(self, number: int) -> MessageRecorder:
        logger = log.logger(worker=number)
        if self.way is None:
            return MessageRecorder(logger, number, self.reporter)
        sender = traces.Traces(self.way[0], addresses=self.in_force().settings.tracing.addresses)
        return TracingRecorder(logger, number, self.reporter, sender)

    def _export(self, link: Link) -> None:
        self._keep_only(self.web)
        from miltscan.exporter import service

        self._attach(_EXPORTER)
        if self.web:
            settings = self.in_force().settings
            link.send(READY)
            service.serve_exporter(self.web, Path(settings.exporter.directory), settings, link, self.events)

    def _trace(self, link: Link) -> None:
        """Ready at once: what keeps it from its work must not keep the service from starting."""
        self._keep_only(None)
        if self.way:
            self._attach(_TRACER)
            link.send(READY)
            from miltscan.daemon import tracer

            tracer.run_tracer(self.way[1], self.in_force().settings.tracing.endpoint, link)

    def _probe(self, link: Link) -> None:
        """Ready at once, as above."""
        self._keep_only(None)
        link.send(READY)
        from miltscan.daemon.prober import Prober

        self._attach(_PROBER)
        Prober(self.in_force()).run(link)

    def _keep_only(self, mine: socket.socket | None) -> None:
        """First of all: no socket of the others, as an orphan that drains must not keep a new service from a port.

        And no signal: a Ctrl-C reaches the whole process group, but only the supervisor knows the order of a stop.
        """
        reset([signal.SIGINT, signal.SIGHUP], signal.SIG_IGN)
        for public in (*(door.public for door in self.doors), self.web):
            if public is not None and public is not mine:
                public.close()

    def _attach(self, name: str) -> None:
        family.attach(Path(self.in_force().settings.exporter.directory), name)


def is_worker(role: Role) -> bool:
    """Whether this child serves an MTA."""
    return role.name.startswith(_WORKER)


def attached_as(role: Role) -> str:
    """The name under which this child counts."""
    return role.name.removeprefix(_WORKER)


def open_trace_channel(endpoint: str, logger: FilteringBoundLogger) -> TraceChannel | None:
    """The way of traces, if any are wanted.

    Mail is worth more than its traces: without the packages for them the service runs, and says so.
    """
    if not endpoint:
        return None
    if why := traces.missing():
        logger.error("tracing_off", why=why)
        return None
    return traces.way()
