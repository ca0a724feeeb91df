"""The keeper: a process next to the workers that looks after the quarantine; mail never waits for it.

Exactly one keeper works on a folder, held by a lock in it; the keeper of a second service waits. What is to be done
follows from the files and the index alone, so a keeper that is killed at any moment leaves nothing that its successor
does not find. A thread each indexes, deletes, scans again, releases, sends notices, archives digests and looks them
up: a scan of a minute, or a sendmail that does not answer, delays no index row.
"""

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from miltscan.config.keyfile import Loaded
from miltscan.core.report import Place
from miltscan.daemon.archiving import Archiving
from miltscan.daemon.jobs import Job, Work
from miltscan.daemon.keeping import Keeping
from miltscan.daemon.notifying import Notifying
from miltscan.daemon.releases import Releases
from miltscan.daemon.rescans import Rescans
from miltscan.errors import StoreError
from miltscan.processes.link import DRAIN, ChildLink, received
from miltscan.processes.signals import Signals
from miltscan.quarantine.files import Files
from miltscan.quarantine.lock import KeeperLock
from miltscan.telemetry import log
from miltscan.telemetry.folder import KEEPER
from miltscan.telemetry.upkeep import Upkeep

_TICK = 5.0  # seconds between two updates of the process metrics
_NICE = 5  # mail comes first; at 10 a busy host leaves next to nothing
_LAST = 5.0  # seconds for mail under way at a stop: a release that is cut off is sent twice, a notice is not repeated
_RETRY = 2.0  # seconds until the lock is tried again


class Keeper:
    """Runs the jobs while the lock is held; a reload replaces `loaded`, which the jobs use from their next call on.

    `digests` is the end of the channel on which the workers send what is archived; None if nothing is.
    """

    def __init__(self, loaded: Loaded, digests: socket.socket | None) -> None:
        self._loaded = loaded
        settings = loaded.settings.quarantine
        self._files = Files(Path(settings.directory))
        self._lock = KeeperLock(self._files.directory)
        self._ours = threading.Event()
        self._waits = False
        self._keeping = Keeping(lambda: self._loaded, self._files)
        self._archiving = Archiving(lambda: self._loaded, self._files.directory, digests)
        self._rescans = Rescans(lambda: self._loaded, self._archiving.detected)
        self._releases = Releases(lambda: self._loaded)
        self._notifying = Notifying(lambda: self._loaded)
        self._jobs: list[Job] = []

    def run(self, link: ChildLink) -> None:
        """Run until TERM, the order to drain, or the death of the supervisor."""
        signals = Signals([signal.SIGTERM])
        with suppress(OSError):  # a container may forbid it
            os.nice(_NICE)
        upkeep = Upkeep(KEEPER)
        releases = Job("release", self._while_ours(self._releases.run), Place.KEEPER)
        notices = Job("notice", self._while_ours(self._notifying.run), Place.KEEPER)
        archive = Job("archive", self._while_ours(self._archiving.receive), Place.KEEPER)
        self._jobs = [
            Job("index", self._index, Place.KEEPER),
            Job("expire", self._while_ours(self._keeping.expire), Place.KEEPER),
            Job("rescan", self._while_ours(self._rescans.run), Place.KEEPER),
            releases,
            notices,
            archive,
            Job("look up", self._while_ours(self._archiving.look_up), Place.KEEPER),
        ]
        while self._goes_on(link, signals):
            link.beat()
            upkeep.update()
        self._rescans.end()
        for job in self._jobs:
            job.end()
        until = time.monotonic() + _LAST
        for job in (releases, notices, archive):
            job.join(max(0.0, until - time.monotonic()))
        if self._ours.is_set():
            self._archiving.receive()  # what the workers sent last

    def _goes_on(self, link: ChildLink, signals: Signals) -> bool:
        """Wait for an order, and carry it out; False if the keeper must end."""
        ready = wait([link, signals.fileno()], _TICK)
        if signal.SIGTERM in signals.read():
            return False
        return link not in ready or self._obey(received(link))

    def _obey(self, order: object) -> bool:
        """Carry out one order; False if the keeper must end."""
        if isinstance(order, Loaded):
            self._loaded = order
            log.configure(order.settings.log.format, order.settings.log.level)
            for job in self._jobs:
                job.wake()
        return order not in (DRAIN, None)

    def _index(self) -> float:
        """Take the lock, or wait for it; then a round of the index."""
        if not self._take():
            return _RETRY
        return self._keeping.round()

    def _take(self) -> bool:
        try:
            self._files.prepare()
            ours = self._lock.take()
        except StoreError as error:
            self._ours.clear()
            self._keeping.fails(str(error))
            return False
        if ours:
            self._ours.set()
        elif not self._waits:
            log.logger().info("keeper_waits", folder=str(self._files.directory), pid=self._lock.owner())
        self._waits = not ours
        if not ours:
            self._ours.clear()
            self._keeping.waits()
        return ours

    def _while_ours(self, work: Work) -> Work:
        return lambda: work() if self._ours.is_set() else _RETRY
