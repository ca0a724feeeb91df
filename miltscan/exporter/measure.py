"""Measures what no message tells: the queues of both sendmails, free disk, the exporter's own usage; judges none.

It runs in the exporter, in a thread of its own: a disk that hangs keeps no scrape from its answer, and a scrape costs
no look at a queue.
"""

import os
import threading
import time

from miltscan.config.settings import Settings
from miltscan.sandwich.queues import Depth, look
from miltscan.telemetry import log, metrics
from miltscan.telemetry.metrics import Place, QueueName
from miltscan.telemetry.process import Usage

_PAUSE = 5.0  # seconds between two looks at the least
_OF_A_QUEUE = (metrics.QUEUE_ENTRIES, metrics.QUEUE_BYTES, metrics.QUEUE_OLDEST)


class Measure:
    """`settings` may be replaced at any time by `follow`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._usage = Usage("exporter")
        self._unreadable: set[QueueName] = set()
        self._due = 0.0
        self._wake = threading.Event()

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._run, name="measure", daemon=True).start()

    def follow(self, settings: Settings) -> None:
        """Go by these settings from now on; the next look is now."""
        self._settings = settings
        self._due = 0.0
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            self.look()
            self._wake.wait(min(_PAUSE, self._settings.queues.interval))

    def look(self) -> None:
        """Measure what is due. Never raises: a fault of ours is counted, and the next look tries again."""
        settings, now = self._settings, time.monotonic()
        try:
            self._usage.update()
            self._disk(settings.spool.directory)
            if now >= self._due:
                self._due = now + settings.queues.interval
                self._queue(QueueName.INCOMING, settings.queues.incoming)
                self._queue(QueueName.DELIVERY, settings.queues.delivery)
        except Exception as error:  # noqa: BLE001 - see above
            metrics.EXCEPTIONS.child(Place.MEASURE).inc()
            log.logger().error("exception", where=Place.MEASURE, exc_info=error)

    def _disk(self, folder: str) -> None:
        try:
            room = os.statvfs(folder)
        except OSError:  # taken away: then there is nothing to tell, and large messages say it themselves
            metrics.SPOOL_FREE_BYTES.forget()
        else:
            metrics.SPOOL_FREE_BYTES.child().set(room.f_bavail * room.f_frsize)

    def _queue(self, name: QueueName, path: str) -> None:
        """One queue; that it cannot be read is said once, and once that it can be again."""
        if not path:
            self._without_numbers(name)
            metrics.QUEUE_READABLE.forget(name)
            return
        try:
            found = look(path)
        except OSError as error:
            self._without_numbers(name)
            metrics.QUEUE_READABLE.child(name).set(0)
            if name not in self._unreadable:
                self._unreadable.add(name)
                log.logger().warning("queue_unreadable", queue=name, folder=path, why=error.strerror)
        else:
            self._found(name, found)

    def _without_numbers(self, name: QueueName) -> None:
        for family in _OF_A_QUEUE:
            family.forget(name)

    def _found(self, name: QueueName, found: Depth) -> None:
        if name in self._unreadable:
            self._unreadable.remove(name)
            log.logger().info("queue_readable", queue=name)
        metrics.QUEUE_READABLE.child(name).set(1)
        metrics.QUEUE_ENTRIES.child(name).set(found.entries)
        metrics.QUEUE_BYTES.child(name).set(found.size)
        if found.oldest is None:
            metrics.QUEUE_OLDEST.forget(name)
        else:
            metrics.QUEUE_OLDEST.child(name).set(found.oldest)
