"""`miltscan run`: binds the sockets, lets the supervisor run the children, and handles reload and stop."""

import gc
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from miltscan import __version__
from miltscan.config.keyfile import Loaded, load_all, load_secrets
from miltscan.config.load import load_settings
from miltscan.config.render import fingerprint, needs_restart, without_restart
from miltscan.config.settings import Settings
from miltscan.daemon.children import LAST_LINES, Children, is_worker, metrics_slot, open_trace_channel
from miltscan.daemon.socket_watch import SocketWatch
from miltscan.daemon.sockets import MilterSocket, bind_exporter, close_sockets, open_sockets, start_with
from miltscan.daemon.statusline import StatusLine
from miltscan.errors import ConfigError, ListError, MiltscanError, SpoolError, StartError
from miltscan.exporter import access
from miltscan.processes import notify
from miltscan.processes.admission import install_filter
from miltscan.processes.descriptors import raise_limit
from miltscan.processes.rehearsal import rehearse
from miltscan.processes.supervisor import Role, Supervisor
from miltscan.scanning.assemble import source_faults
from miltscan.scanning.entries import try_store
from miltscan.scanning.listfile import ListFile
from miltscan.scanning.spool import Spool
from miltscan.status import events
from miltscan.status.events import Reporter
from miltscan.telemetry import family, keeper_metrics, log, recording, service_metrics
from miltscan.telemetry.folder import SUPERVISOR, MetricsFolder, claim_folder, slots_of
from miltscan.telemetry.stream import open_stream
from miltscan.telemetry.upkeep import Upkeep

_RELOAD = 10.0  # seconds for the disks with the files of the configuration, and with the spool, to answer
_LEAVE_AFTER = 15.0  # seconds of a drain after which a connection that waits for the next start needs it: R: is 30 s
_DRAIN_EXTRA = 10.0  # seconds that a drain may take beyond the longest scan


def run_service(settings: Settings, path: Path | None, shadow: Path | None = None) -> int:
    """Run the service until a signal stops it; SIGHUP reads `path` again. Returns the exit status.

    The policy in `shadow` is asked about each message, and decides nothing.
    Raises StartError if a socket or folder cannot be used, ConfigError if the keys cannot be read.
    """
    raise_limit()
    loaded = replace(load_secrets(settings, path), shadow=_load_shadow(shadow))
    log.configure(settings.log.format, settings.log.level)
    log.OUTPUT.open()
    _try_spool(settings)
    try_store(settings)
    _try_lists(settings)
    _try_sources(settings)
    sockets: list[MilterSocket] = []
    try:
        sockets += open_sockets(settings)
        http = bind_exporter(settings.exporter)
        # only now that the socket is bound: until then the folder may belong to a service that is just stopping
        folder = claim_folder(Path(settings.exporter.directory), slots_of(settings))
        try:
            service = _Service(loaded, path, sockets, http, folder, log.logger(), shadow)
            status = service.run()
        finally:
            folder.release()
        if service.restarts:
            start_with(sockets)
        return status
    finally:
        close_sockets(sockets)


def _end() -> None:
    """End the service in order: the drain is the same as for a signal from outside."""
    os.kill(os.getpid(), signal.SIGTERM)


def _try_spool(settings: Settings) -> None:
    """StartError if a message cannot be written to the folder: better now than at the first large message."""
    spool = Spool(Path(settings.spool.directory), memory=0)
    try:
        spool.write(b"\0")
    except SpoolError as error:
        raise StartError(f"{error}. spool.directory must be a folder that miltscan's user can write to.") from error
    finally:
        spool.close()


def _try_lists(settings: Settings) -> None:
    """StartError if the file of the lists cannot be read: with empty lists, denied mail would pass."""
    if settings.lists.file:
        try:
            ListFile(Path(settings.lists.file)).read()
        except ListError as error:
            raise StartError(str(error)) from error


def _try_sources(settings: Settings) -> None:
    """StartError with a line for each source of the rules that cannot be read: without it a rule would not match."""
    if faults := source_faults(settings):
        raise StartError("\n".join(faults))


def _load_shadow(path: Path | None) -> Settings | None:
    """The settings whose policy is only asked. Raises ConfigError and StartError."""
    if path is None:
        return None
    settings = load_settings(path)
    _try_sources(settings)
    return settings


@dataclass
class _Service:
    """The hooks of the supervisor; `loaded` is what is in force."""

    loaded: Loaded
    path: Path | None
    sockets: Sequence[MilterSocket]
    http: socket.socket | None
    folder: MetricsFolder
    log: FilteringBoundLogger
    shadow: Path | None = None
    restarts: bool = False
    upkeep: Upkeep = field(init=False)
    line: StatusLine = field(init=False)
    watch: SocketWatch = field(init=False)
    children: Children = field(init=False)

    def __post_init__(self) -> None:
        self.upkeep = Upkeep(SUPERVISOR, self.folder.fault)
        self.line = StatusLine(self._serves, lambda: self.settings, self.folder.path)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.loaded.settings

    def run(self) -> int:
        """Run the supervisor; return the exit status."""
        reader, sender = events.channel()
        reporter = Reporter(sender)
        family.attach(self.folder.path, SUPERVISOR)
        recording.started(fingerprint(self.settings), self.settings.workers, [key.id for key in self.loaded.keys])
        log.on_error(reporter.error)
        self.upkeep.update()  # reports a full folder
        self.log.info("start", version=__version__, socket=str(self.settings.milter.socket))
        for one in self.sockets:
            if one.unfiltered:
                self.log.info("filter_off", socket=one.key, why=one.unfiltered)
        channel = open_trace_channel(self.settings.tracing.endpoint, self.log)
        digests = open_stream() if self.settings.archive.digests else None
        self.children = children = Children(
            lambda: self.loaded, self.sockets, self.http, self.folder.path, reader, reporter, channel, digests
        )
        self.watch = SocketWatch(self.sockets, self.settings.milter, self.log, children.renewed, _end)
        self.watch.begin()
        drain_timeout = self.settings.limits.scan_timeout + self.settings.limits.queue_wait + _DRAIN_EXTRA
        gc.collect()
        gc.freeze()  # so that a child's collection does not write to the pages that it shares (docs/memory.md)
        leave_after = _LEAVE_AFTER if any(one.passed for one in self.sockets) else None
        roles = children.roles()
        keeper_metrics.KEEPER_CONFIGURED.child().set(children.has_keeper)
        status = Supervisor(roles, self, drain_timeout, leave_after).run() or int(self.watch.gave_up)
        self.log.info("stop", status=status)
        log.OUTPUT.close(LAST_LINES)
        return status

    def ready(self) -> None:
        """Log it and notify the service manager."""
        self.log.info("ready", workers=self.settings.workers)
        self.line.announce()

    def tick(self) -> None:
        """Write log lines that wait, look after the sockets, measure this process, and update the status line."""
        self.watch.look()
        self.upkeep.update()
        self.line.refresh()

    def stopping(self, *, restarts: bool) -> None:
        """Close the sockets, so that the kernel refuses a new connection instead of letting it wait out the drain.

        In a socket of the service manager, or before a restart in this process, it waits for the next start.
        """
        self.restarts = restarts
        if restarts:
            notify.reloading()  # after a stop the service manager would wait for the end of this process, and kill it
            return
        notify.stopping("open transactions finish")
        close_sockets(self.sockets)

    def failed(self, role: Role, error: BaseException) -> None:
        """Log, in the child, why it ends."""
        if isinstance(error, MiltscanError):
            self.log.error("start_failed", child=role.name, why=str(error))
        else:
            self.log.error("child_failed", child=role.name, exc_info=error)
        log.OUTPUT.close(LAST_LINES)

    def hangs(self, role: Role, silence: float) -> None:
        """Log why the child is killed."""
        self.log.error(
            "child_hangs", child=role.name, why=f"its main thread has given no sign of life for {silence:.0f} s"
        )

    def ended(self, role: Role, status: str, pause: float | None) -> None:
        """Log the end of a child, and drop its live gauges."""
        family.worker_gone(metrics_slot(role))
        if pause is None:
            self.log.info("child_ended", child=role.name, status=status)
            return
        if is_worker(role):
            service_metrics.RESPAWNS.child().inc()
        self.log.error("child_died", child=role.name, status=status, respawn_after=pause)

    def may_restart(self) -> bool:
        """Return whether the configuration is valid: a successor that cannot start would end the service."""
        return self._checked() is not None

    def reload(self) -> Loaded | None:
        """Return the settings and keys that the files hold now; with a mistake in a file nothing changes."""
        notify.reloading()
        new = self._read_again()
        if new:
            self.line.announce()
        else:
            notify.ready("the configuration has a mistake and the former one stays in force: see the log")
        return new

    def added(self) -> list[Role]:
        """Return the keeper if a reload has brought the first quarantine."""
        roles = self.children.keeper()
        keeper_metrics.KEEPER_CONFIGURED.child().set(self.children.has_keeper)
        return roles

    def _serves(self) -> str:
        workers = "1 worker" if self.settings.workers == 1 else f"{self.settings.workers} workers"
        return f"serves {', '.join(str(one.address) for one in self.sockets)} with {workers}"

    def _read_files(self) -> Loaded:
        """Return what the files hold now; each disk on which they are, and that of the spool, must answer."""
        loaded = load_all(self.path)
        _try_spool(loaded.settings)
        try_store(loaded.settings)
        _try_lists(loaded.settings)
        _try_sources(loaded.settings)
        if self.http:
            access.load_access(loaded.settings.exporter)
        return loaded

    def _checked(self) -> Loaded | None:
        """Return what the files hold now; None, with a log line, if there is a mistake in them."""
        try:
            rehearse(self._read_files, _RELOAD)
            loaded = self._read_files()
        except (ConfigError, StartError) as error:
            recording.reload_failed()
            self.log.error("reload_failed", why=str(error).splitlines())
            return None
        return loaded

    def _read_again(self) -> Loaded | None:
        loaded = self._checked()
        if loaded is None:
            return None
        new, shadow = loaded.settings, self._shadow_again()
        for one in self.sockets:
            install_filter(one.listener, new.milter.allow)  # for the workers as well, which share the socket
        restart = needs_restart(self.settings, new)
        log.configure(self.settings.log.format, new.log.level)
        self.log = log.logger()
        self.log.info("reload", needs_restart=restart)
        settings = without_restart(self.settings, new)
        before, self.loaded = self.settings, replace(loaded, settings=settings, shadow=shadow)
        recording.reloaded(fingerprint(before), fingerprint(self.settings), [key.id for key in self.loaded.keys])
        return self.loaded

    def _shadow_again(self) -> Settings | None:
        """The candidate that its file holds now; with a mistake in it, the former one."""
        if self.shadow is None:
            return None
        try:
            rehearse(partial(_load_shadow, self.shadow), _RELOAD)
            return _load_shadow(self.shadow)
        except (ConfigError, StartError) as error:
            self.log.error("shadow_failed", why=str(error).splitlines())
            return self.loaded.shadow
