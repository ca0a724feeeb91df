"""`miltscan run`: binds the sockets, forks workers and exporter, and sees to reload and stop."""

import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from miltscan import __version__
from miltscan.config.apart import in_child
from miltscan.config.keyfile import Loaded, load_all, load_keys
from miltscan.config.render import fingerprint, needs_restart
from miltscan.config.settings import Settings
from miltscan.core.address import Address
from miltscan.core.keys import Keyring
from miltscan.errors import ConfigError, MiltscanError, SpoolError, StartError
from miltscan.service import access, listener, notify
from miltscan.service.admission import admit
from miltscan.service.signals import reset
from miltscan.service.spool import Spool
from miltscan.service.supervisor import READY, Link, Role, Supervisor
from miltscan.service.worker import TracingWatch, Watch, Worker
from miltscan.status import events
from miltscan.status.events import Reporter
from miltscan.telemetry import family, log, metrics, recording, traces
from miltscan.telemetry.process import Usage

_PATIENCE = 10.0  # seconds a drain may take beyond the longest scan
_SUPERVISOR = "supervisor"
_EXPORTER = "exporter"
_TRACER = "tracer"
_PROBER = "prober"


def serve(settings: Settings, path: Path | None) -> int:
    """Run the service until it is told to stop; `path` is read again at SIGHUP. Returns the exit status.

    Raises StartError if a socket or folder cannot be had, ConfigError if the keys cannot.
    """
    keys = load_keys(settings.keys.file)
    log.configure(settings.log.format, settings.log.level)
    _try_spool(settings)
    doors: list[_Door] = []
    try:
        doors += _open(settings.milter.socket, settings, "milter.socket")
        doors += _open(settings.verify.socket, settings, "verify.socket")
        web = _bind_exporter(settings)
        family.prepare(Path(settings.exporter.directory))  # not before the socket is ours: another one may run
        return _Service(settings, keys, path, doors, web, log.logger()).run()
    finally:
        _let_go(doors)


@dataclass(frozen=True, slots=True)
class _Door:
    """A socket on which an MTA asks."""

    address: Address
    public: socket.socket
    verifies: bool


def _open(address: Address | None, settings: Settings, key: str) -> list[_Door]:
    """The door of this key, none where it has no address. Raises StartError."""
    if address is None:
        return []
    ours = settings.milter
    try:
        public = listener.bind(address, ours.socket_mode, ours.socket_group, ours.allow)
    except StartError as error:
        raise StartError(str(error).replace("milter.socket ", f"{key} ", 1)) from error
    return [_Door(address, public, verifies=key == "verify.socket")]


def _let_go(doors: Sequence[_Door]) -> None:
    """Close each socket and remove its file; once, for the file may soon be a successor's."""
    for door in doors:
        if door.public.fileno() >= 0:
            listener.unbind(door.address)
            door.public.close()


def _try_spool(settings: Settings) -> None:
    """StartError if the folder takes no message; found out now rather than by the first large one."""
    spool = Spool(Path(settings.spool.directory), memory=0)
    try:
        spool.write(b"\0")
    except SpoolError as error:
        raise StartError(f"{error}; spool.directory must be a folder that we can write to") from error
    finally:
        spool.close()


def _bind_exporter(settings: Settings) -> socket.socket | None:
    """None if there is to be no exporter. Files that it cannot use are found out now: StartError."""
    address = settings.exporter.listen
    if address is None:
        return None
    access.load(settings.exporter)
    return listener.bind_http(address.host, address.port)


@dataclass
class _Service:
    """The supervisor's side of the service: `settings` are those in force."""

    settings: Settings
    keys: Keyring
    path: Path | None
    doors: Sequence[_Door]
    web: socket.socket | None
    log: FilteringBoundLogger
    usage: Usage = field(default_factory=lambda: Usage(_SUPERVISOR))
    way: tuple[socket.socket, socket.socket] | None = field(default=None, init=False)  # of traces, if any are wanted

    def __post_init__(self) -> None:
        self.events, sender = events.channel()
        self.reporter = Reporter(sender)

    def run(self) -> int:
        """Until the supervisor ends."""
        family.attach(self._directory, _SUPERVISOR)
        recording.started(fingerprint(self.settings), self.settings.workers)
        log.tell_errors(self.reporter.error)
        self.log.info("start", version=__version__, socket=str(self.settings.milter.socket))
        self.way = self._open_way()
        patience = self.settings.limits.scan_timeout + self.settings.limits.queue_wait + _PATIENCE
        status = Supervisor(self._roles(), self, patience).run()
        self.log.info("stop", status=status)
        return status

    @property
    def _directory(self) -> Path:
        return Path(self.settings.exporter.directory)

    def _roles(self) -> list[Role]:
        """The workers of the first door, of the second one, numbered through, and the others."""
        incoming, delivery = self.settings.milter.workers, self.settings.verify.workers
        posts = [door for door in self.doors for _ in range(delivery if door.verifies else incoming)]
        workers = [self._worker(number, door) for number, door in enumerate(posts)]
        others = [Role(_EXPORTER, self._export, outlives=True)] if self.web else []
        others += [Role(_TRACER, self._trace, outlives=True)] if self.way else []
        others += [Role(_PROBER, self._probe)] if self.settings.probe.interval else []
        return [*workers, *others]

    def _open_way(self) -> tuple[socket.socket, socket.socket] | None:
        """Mail is worth more than its traces: without the packages for them the service runs, and says so."""
        if not self.settings.tracing.endpoint:
            return None
        if why := traces.missing():
            self.log.error("tracing_off", why=why)
            return None
        return traces.way()

    def _worker(self, number: int, door: _Door) -> Role:
        def main(link: Link) -> None:
            _leave_signals_to_the_supervisor()
            for other in self.doors:
                if other is not door:
                    other.public.close()
            if self.web:
                self.web.close()  # an orphan that drains must not keep a new service from the port
            family.attach(self._directory, str(number))
            self.events.close()
            loaded = Loaded(self.settings, self.keys)
            Worker(loaded, self._watch(number), socket.gethostname(), verifies=door.verifies).run(door.public, link)

        return Role(f"worker {number}", main)

    def _watch(self, number: int) -> Watch:
        logger = log.logger(worker=number)
        if self.way is None:
            return Watch(logger, number, self.reporter)
        sender = traces.Traces(self.way[0], addresses=self.settings.tracing.addresses)
        return TracingWatch(logger, number, self.reporter, sender)

    def _export(self, link: Link) -> None:
        from miltscan.service import exporter  # noqa: PLC0415 - HTTP is for this process alone

        _leave_signals_to_the_supervisor()
        for door in self.doors:
            door.public.close()
        family.attach(self._directory, _EXPORTER)
        if self.web:
            link.send(READY)
            exporter.serve(self.web, self._directory, self.settings, link, self.events)

    def _trace(self, link: Link) -> None:
        """Ready at once: what keeps it from its work must not keep the service from starting."""
        _leave_signals_to_the_supervisor()
        for door in self.doors:
            door.public.close()
        if self.web:
            self.web.close()
        if self.way:
            family.attach(self._directory, _TRACER)
            link.send(READY)
            from miltscan.service import tracer  # noqa: PLC0415 - OTLP is for this process alone

            tracer.run(self.way[1], self.settings.tracing.endpoint, link)

    def _probe(self, link: Link) -> None:
        """Ready at once, as above."""
        _leave_signals_to_the_supervisor()
        for door in self.doors:
            door.public.close()
        if self.web:
            self.web.close()
        link.send(READY)
        from miltscan.service.prober import Prober  # noqa: PLC0415 - SMTP is for this process alone

        family.attach(self._directory, _PROBER)
        Prober(Loaded(self.settings, self.keys)).run(link)

    def ready(self) -> None:
        """Every child is ready."""
        self.log.info("ready", workers=self.settings.workers)
        notify.ready(self._status)

    def beat(self) -> None:
        """What the supervisor uses."""
        self.usage.tell()

    def stopping(self) -> None:
        """Nobody new is let in: who connects from now on is refused, and does not wait for the end of the drain."""
        notify.stopping("finishes what runs")
        _let_go(self.doors)

    def failed(self, role: Role, error: BaseException) -> None:
        """In a child: why it ends."""
        if isinstance(error, MiltscanError):
            self.log.error("start_failed", child=role.name, why=str(error))
        else:
            self.log.error("child_failed", child=role.name, exc_info=error)

    def ended(self, role: Role, status: str, pause: float | None) -> None:
        """A child ended; its live gauges go with it."""
        with suppress(OSError):  # somebody has removed the metrics directory: no reason to end the service
            family.worker_gone(role.name.removeprefix("worker "))
        if pause is None:
            self.log.info("child_ended", child=role.name, status=status)
            return
        if role.name not in {_EXPORTER, _TRACER, _PROBER}:
            metrics.RESPAWNS.child().inc()
        self.log.error("child_died", child=role.name, status=status, respawn_after=pause)

    def reload(self) -> Loaded | None:
        """The settings and keys as they stand in their files now; a file that is wrong changes nothing."""
        notify.reloading()
        new = self._read_again()
        notify.ready(
            self._status if new else "the configuration file is wrong: the one before stays in force, see the log"
        )
        return new

    @property
    def _status(self) -> str:
        return f"{self.settings.workers} workers serve {', '.join(str(door.address) for door in self.doors)}"

    def _read_again(self) -> Loaded | None:
        try:
            loaded = in_child(partial(load_all, self.path))  # there pydantic comes and goes
            new = loaded.settings
            _try_spool(new)
            if self.web:
                access.load(new.exporter)
            for door in self.doors:
                admit(door.public, new.milter.allow)  # for the workers too: it is one socket
        except (ConfigError, StartError) as error:
            recording.reload_failed()
            self.log.error("reload_failed", why=str(error).splitlines())
            return None
        restart = needs_restart(self.settings, new)
        log.configure(self.settings.log.format, new.log.level)
        self.log = log.logger()
        self.log.info("reload", needs_restart=restart)
        before, self.settings, self.keys = self.settings, _keep(self.settings, new), loaded.keys
        recording.reloaded(fingerprint(before), fingerprint(self.settings))
        return Loaded(self.settings, self.keys)


def _keep(old: Settings, new: Settings) -> Settings:
    """The new settings, but for what takes effect at the next start only."""
    return replace(
        new,
        milter=replace(old.milter, allow=new.milter.allow),
        verify=old.verify,
        probe=replace(new.probe, interval=old.probe.interval),
        exporter=replace(new.exporter, listen=old.exporter.listen, directory=old.exporter.directory),
        log=replace(new.log, format=old.log.format),
        tracing=old.tracing,
    )


def _leave_signals_to_the_supervisor() -> None:
    """In a child: a Ctrl-C reaches the whole process group, but only the supervisor knows the order of a stop."""
    reset([signal.SIGINT, signal.SIGHUP], signal.SIG_IGN)
