"""The processes of the service: which there are, and what each does after its fork. The supervisor runs them.

The exporter is imported before the fork, because its process then shares the pages (docs/memory.md). Tracer and prober,
which few services run, are imported in their own processes.
"""

# ruff: noqa: PLC0415  imports inside functions, for the reason above

import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from miltscan.config.keyfile import Loaded
from miltscan.daemon.recorder import MessageRecorder, StreamingRecorder
from miltscan.daemon.sockets import MilterSocket
from miltscan.daemon.worker import Worker
from miltscan.exporter import service
from miltscan.processes.link import READY, ChildLink
from miltscan.processes.listener_channel import ListenerChannel, listener_channel, send_listener
from miltscan.processes.signals import reset
from miltscan.processes.supervisor import Role
from miltscan.status.events import Reporter
from miltscan.telemetry import family, log, traces
from miltscan.telemetry.digests import DigestStream
from miltscan.telemetry.folder import EXPORTER, KEEPER, PROBER, TRACER
from miltscan.telemetry.stream import ReportStream, open_stream

LAST_LINES = 1.0
"""Seconds that a process waits at its end for the reader of the log."""
_WORKER = "worker "

StreamChannel = tuple[socket.socket, socket.socket]
"""A pair of sockets for data of messages: the workers' end, and that of the tracer or keeper."""


@dataclass(frozen=True, slots=True)
class Children:
    """The children of the supervisor; `in_force` returns the present settings and keys, which a reload changes.

    `http` is the exporter's listener, `folder` holds the metrics, and `reporter` sends on the channel of which the
    exporter has the end `events`.
    """

    in_force: Callable[[], Loaded]
    sockets: Sequence[MilterSocket]
    http: socket.socket | None
    folder: Path
    events: socket.socket
    reporter: Reporter
    trace_channel: StreamChannel | None
    digest_channel: StreamChannel | None
    _served: list[tuple[MilterSocket, ListenerChannel]] = field(default_factory=list)
    _keepers: list[Role] = field(default_factory=list)

    def roles(self) -> list[Role]:
        """Return the workers of all milter sockets, numbered from 0, and the other processes."""
        settings = self.in_force().settings
        incoming, delivery = settings.milter.workers, settings.verify.workers
        served = [one for one in self.sockets for _ in range(delivery if one.verifies else incoming)]
        self._served[:] = [(one, listener_channel()) for one in served]
        workers = [self._worker(number, *one) for number, one in enumerate(self._served)]
        others = [_role(EXPORTER, self._export, outlives=True)] if self.http else []
        others += [_role(TRACER, self._trace, outlives=True)] if self.trace_channel else []
        others += [_role(PROBER, self._probe)] if settings.probe.interval else []
        # messages of former settings still expire, and may be released
        exists = os.path.isdir(settings.quarantine.directory)  # noqa: PTH112 - it raises nothing
        return [*workers, *others, *self.keeper(needed=exists or self.digest_channel is not None)]

    def keeper(self, *, needed: bool = False) -> list[Role]:
        """Return the keeper, once, if the settings in force quarantine anything or if it is `needed` anyway."""
        if self.has_keeper or not (needed or self.in_force().settings.quarantines):
            return []
        # the archive takes what the workers send while they drain
        self._keepers.append(_role(KEEPER, self._keep, outlives=self.digest_channel is not None))
        return self._keepers

    @property
    def has_keeper(self) -> bool:
        """Whether the keeper is one of the children."""
        return bool(self._keepers)

    def renewed(self, served: MilterSocket) -> None:
        """Let the workers of a socket that was bound again serve its new listener; a later worker has it."""
        for one, (end, _) in self._served:
            if one is served:
                send_listener(end, served.listener)

    def _worker(self, number: int, served: MilterSocket, channel: ListenerChannel) -> Role:
        def main(link: ChildLink) -> None:
            self._keep_only(served.listener)
            self._attach(str(number), later=True)
            self.events.close()
            recorder = self._recorder(number)
            worker = Worker(self.in_force(), recorder, socket.gethostname(), verifies=served.verifies)
            worker.run(served.listener, link, channel[1])

        return _role(f"{_WORKER}{number}", main)

    def _recorder(self, number: int) -> MessageRecorder:
        logger = log.logger(worker=number)
        streams = list[ReportStream]()
        if self.trace_channel:
            addresses = self.in_force().settings.tracing.addresses
            streams.append(traces.Traces(self.trace_channel[0], addresses=addresses))
        if self.digest_channel:
            streams.append(DigestStream(self.digest_channel[0]))
        if not streams:
            return MessageRecorder(logger, number, self.reporter)
        return StreamingRecorder(logger, number, self.reporter, streams)

    def _export(self, link: ChildLink) -> None:
        self._keep_only(self.http)
        self._attach(EXPORTER)
        if self.http:
            settings = self.in_force().settings
            link.send(READY)
            service.serve_exporter(self.http, self.folder, settings, link, self.events)

    def _trace(self, link: ChildLink) -> None:
        """Run the tracer, which is ready at once: a broken tracer must not keep the service from starting."""
        self._keep_only(None)
        if self.trace_channel:
            self._attach(TRACER)
            link.send(READY)
            from miltscan.daemon import tracer

            tracer.run_tracer(self.trace_channel[1], self.in_force().settings.tracing.endpoint, link)

    def _probe(self, link: ChildLink) -> None:
        """Run the prober, which is ready at once, for the same reason."""
        self._keep_only(None)
        link.send(READY)
        from miltscan.daemon.prober import Prober

        self._attach(PROBER)
        Prober(self.in_force()).run(link)

    def _keep(self, link: ChildLink) -> None:
        """Run the keeper, which is ready at once: mail is stored without it."""
        self._keep_only(None)
        link.send(READY)
        from miltscan.daemon.keeper import Keeper

        self._attach(KEEPER)
        Keeper(self.in_force(), self.digest_channel[1] if self.digest_channel else None).run(link)

    def _keep_only(self, mine: socket.socket | None) -> None:
        """Close the listeners of the other processes: an orphan that drains must not keep a new service from a port.

        Ignore INT and HUP: a Ctrl-C reaches the whole process group, but only the supervisor knows the order of a stop.
        """
        reset([signal.SIGINT, signal.SIGHUP], signal.SIG_IGN)
        for listener in (*(one.listener for one in self.sockets), self.http):
            if listener is not None and listener is not mine:
                listener.close()

    def _attach(self, slot: str, *, later: bool = False) -> None:
        family.attach(self.folder, slot, parent=os.getppid(), later=later)


def _role(name: str, work: Callable[[ChildLink], None], *, outlives: bool = False) -> Role:
    def main(link: ChildLink) -> None:
        try:
            work(link)
        finally:
            log.OUTPUT.close(LAST_LINES)

    return Role(name, main, outlives)


def is_worker(role: Role) -> bool:
    """Return whether this child serves an MTA."""
    return role.name.startswith(_WORKER)


def metrics_slot(role: Role) -> str:
    """Return the slot in which this child counts."""
    return role.name.removeprefix(_WORKER)


def open_trace_channel(endpoint: str, logger: FilteringBoundLogger) -> StreamChannel | None:
    """Return the channel for traces; None if tracing is off.

    Without the packages for tracing the service runs and logs an error: mail is worth more than its traces.
    """
    if not endpoint:
        return None
    if not traces.installed():
        logger.error("tracing_off", why=f"OpenTelemetry is not installed. Run: {traces.INSTALL}")
        return None
    return open_stream()
