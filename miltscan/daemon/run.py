"""`miltscan run`: binds the sockets, has the supervisor run the children, and sees to reload and stop."""

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
from miltscan.daemon.children import Children, attached_as, is_worker, open_trace_channel
from miltscan.daemon.sockets import PublicSocket, bind_exporter, close_sockets, open_sockets
from miltscan.errors import ConfigError, MiltscanError, SpoolError, StartError
from miltscan.exporter import access
from miltscan.processes import notify
from miltscan.processes.admission import admit
from miltscan.processes.supervisor import Role, Supervisor
from miltscan.scanning.spool import Spool
from miltscan.status import events
from miltscan.status.events import Reporter
from miltscan.telemetry import family, log, metrics, recording
from miltscan.telemetry.process import Usage

_PATIENCE = 10.0  # seconds a drain may take beyond the longest scan
_SUPERVISOR = "supervisor"


def run_service(settings: Settings, path: Path | None) -> int:
    """Run the service until it is told to stop; `path` is read again at SIGHUP. Returns the exit status.

    Raises StartError if a socket or folder cannot be had, ConfigError if the keys cannot.
    """
    loaded = Loaded(settings, load_keys(settings.keys.file))
    log.configure(settings.log.format, settings.log.level)
    _try_spool(settings)
    doors: list[PublicSocket] = []
    try:
        doors += open_sockets(settings.milter.socket, settings.milter, "milter.socket")
        doors += open_sockets(settings.verify.socket, settings.milter, "verify.socket")
        web = bind_exporter(settings.exporter)
        family.prepare(Path(settings.exporter.directory))  # not before the socket is ours: another one may run
        return _Service(loaded, path, doors, web, log.logger()).run()
    finally:
        close_sockets(doors)


def _try_spool(settings: Settings) -> None:
    """StartError if the folder takes no message; found out now rather than by the first large one."""
    spool = Spool(Path(settings.spool.directory), memory=0)
    try:
        spool.write(b"\0")
    except SpoolError as error:
        raise StartError(f"{error}; spool.directory must be a folder that we can write to") from error
    finally:
        spool.close()


@dataclass
class _Service:
    """The supervisor's side of the service: `loaded` is in force."""

    loaded: Loaded
    path: Path | None
    doors: Sequence[PublicSocket]
    web: socket.socket | None
    log: FilteringBoundLogger
    usage: Usage = field(default_factory=lambda: Usage(_SUPERVISOR))

    @property
    def settings(self) -> Settings:
        """Those in force."""
        return self.loaded.settings

    def run(self) -> int:
        """Until the supervisor ends."""
        reader, sender = events.channel()
        reporter = Reporter(sender)
        family.attach(Path(self.settings.exporter.directory), _SUPERVISOR)
        recording.started(fingerprint(self.settings), self.settings.workers)
        log.tell_errors(reporter.error)
        self.log.info("start", version=__version__, socket=str(self.settings.milter.socket))
        way = open_trace_channel(self.settings.tracing.endpoint, self.log)
        children = Children(lambda: self.loaded, self.doors, self.web, reader, reporter, way)
        patience = self.settings.limits.scan_timeout + self.settings.limits.queue_wait + _PATIENCE
        status = Supervisor(children.roles(), self, patience).run()
        self.log.info("stop", status=status)
        return status

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
        close_sockets(self.doors)

    def failed(self, role: Role, error: BaseException) -> None:
        """In a child: why it ends."""
        if isinstance(error, MiltscanError):
            self.log.error("start_failed", child=role.name, why=str(error))
        else:
            self.log.error("child_failed", child=role.name, exc_info=error)

    def ended(self, role: Role, status: str, pause: float | None) -> None:
        """A child ended; its live gauges go with it."""
        with suppress(OSError):  # somebody has removed the metrics directory: no reason to end the service
            family.worker_gone(attached_as(role))
        if pause is None:
            self.log.info("child_ended", child=role.name, status=status)
            return
        if is_worker(role):
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
                access.load_access(new.exporter)
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
        before, self.loaded = self.settings, replace(loaded, settings=_keep(self.settings, new))
        recording.reloaded(fingerprint(before), fingerprint(self.settings))
        return self.loaded


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
