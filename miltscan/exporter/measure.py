"""Measures what no message shows: both sendmails and their queues, free disk space, its own usage. It judges none.

It runs in the exporter, on its own thread: a disk that hangs delays no scrape, and a scrape reads no queue. Greetings
are in the loop of the exporter.
"""

import asyncio
import os
import threading
import time
from collections.abc import Mapping

from miltscan.config.settings import Settings
from miltscan.config.thresholds import ThresholdSettings
from miltscan.core.report import Place
from miltscan.processes.listening import listening_hosts
from miltscan.sandwich.greeting import greets
from miltscan.sandwich.queues import read_depth
from miltscan.telemetry import log, mail_metrics, sandwich_metrics, service_metrics
from miltscan.telemetry.sandwich_metrics import QueueName
from miltscan.telemetry.upkeep import Upkeep

_PAUSE = 5.0  # seconds between two measurements, at most
_GREETING = 10.0  # seconds between two sessions with each sendmail
_QUEUE_GAUGES = (sandwich_metrics.QUEUE_ENTRIES, sandwich_metrics.QUEUE_BYTES, sandwich_metrics.QUEUE_OLDEST)


class Measurement:
    """Measures again and again; `reload` may replace the settings at any time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._upkeep = Upkeep("exporter")
        self._unreadable: set[QueueName] = set()
        self._due = 0.0
        self._wake = threading.Event()
        self._places: dict[QueueName, tuple[str, int]] = {}

    def start(self) -> None:
        """Start the thread, which ends with the process."""
        threading.Thread(target=self._run, name="measure", daemon=True).start()

    def reload(self, settings: Settings) -> None:
        """Use these settings from now on, and measure at once."""
        self._settings = settings
        self._due = 0.0
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.clear()
            self.measure()
            self._wake.wait(min(_PAUSE, self._settings.queues.interval))

    def measure(self) -> None:
        """Measure what is due. Never raises: an exception is counted and logged, and the next call tries again."""
        settings, now = self._settings, time.monotonic()
        try:
            self._upkeep.update()
            self._disk(settings.spool.directory)
            _thresholds(settings.thresholds)
            open_ports = listening_hosts()
            self._listening(QueueName.INCOMING, settings.queues.incoming, settings.queues.incoming_port, open_ports)
            self._listening(QueueName.DELIVERY, settings.queues.delivery, settings.queues.delivery_port, open_ports)
            if now >= self._due:
                self._due = now + settings.queues.interval
                self._queue(QueueName.INCOMING, settings.queues.incoming)
                self._queue(QueueName.DELIVERY, settings.queues.delivery)
        except Exception as error:  # noqa: BLE001 - see above
            service_metrics.EXCEPTIONS.child(Place.MEASURE).inc()
            log.logger().error("exception", where=Place.MEASURE, exc_info=error)

    def _disk(self, folder: str) -> None:
        try:
            space = os.statvfs(folder)
        except OSError:  # the folder was removed, which large messages report themselves
            mail_metrics.SPOOL_FREE_BYTES.forget()
        else:
            mail_metrics.SPOOL_FREE_BYTES.child().set(space.f_bavail * space.f_frsize)

    def _listening(self, name: QueueName, path: str, port: int, hosts: Mapping[int, str]) -> None:
        """Measure whether this sendmail listens; without its queue it is not on this host.

        A sendmail above its load limits closes its ports, and nothing else shows this: for systemd it is active.
        """
        folder = os.path.dirname(path) if path.endswith("*") else path  # noqa: PTH120 - a text, measured often
        if not (port and folder and os.path.isdir(folder)):  # noqa: PTH112
            self._places.pop(name, None)
            sandwich_metrics.SENDMAIL_LISTENING.forget(name)
            sandwich_metrics.SENDMAIL_UP.forget(name)
            return
        sandwich_metrics.SENDMAIL_LISTENING.child(name).set(port in hosts)
        if port in hosts:
            self._places[name] = (hosts[port], port)
        else:
            self._places.pop(name, None)
            sandwich_metrics.SENDMAIL_UP.child(name).set(0)

    async def greet_again(self, name: QueueName) -> None:
        """Greet this sendmail again and again, in the exporter's loop."""
        while True:
            await self.greet(name)
            await asyncio.sleep(_GREETING)

    async def greet(self, name: QueueName) -> None:
        """Measure whether this sendmail greets, if it listens."""
        place = self._places.get(name)
        if place:
            up = await greets(*place)
            if self._places.get(name) == place:  # it has not closed its port meanwhile
                sandwich_metrics.SENDMAIL_UP.child(name).set(up)

    def _queue(self, name: QueueName, path: str) -> None:
        """Measure one queue; log once that it cannot be read, and once that it can be read again."""
        if not path:
            self._forget(name)
            sandwich_metrics.QUEUE_READABLE.forget(name)
            return
        try:
            depth = read_depth(path)
        except OSError as error:
            self._forget(name)
            sandwich_metrics.QUEUE_READABLE.child(name).set(0)
            if name not in self._unreadable:
                self._unreadable.add(name)
                log.logger().warning("queue_unreadable", queue=name, folder=path, why=error.strerror)
            return
        if name in self._unreadable:
            self._unreadable.remove(name)
            log.logger().info("queue_readable", queue=name)
        sandwich_metrics.QUEUE_READABLE.child(name).set(1)
        sandwich_metrics.QUEUE_ENTRIES.child(name).set(depth.entries)
        sandwich_metrics.QUEUE_BYTES.child(name).set(depth.size)
        if depth.oldest is None:
            sandwich_metrics.QUEUE_OLDEST.forget(name)
        else:
            sandwich_metrics.QUEUE_OLDEST.child(name).set(depth.oldest)

    def _forget(self, name: QueueName) -> None:
        for family in _QUEUE_GAUGES:
            family.forget(name)


def _thresholds(limits: ThresholdSettings) -> None:
    service_metrics.THRESHOLD_SIGNATURE_AGE.child().set(limits.signature_age)
    service_metrics.THRESHOLD_LATENCY.child().set(limits.latency)
    service_metrics.THRESHOLD_UNSCANNED.child().set(limits.unscanned_percent / 100)
    for name in QueueName:
        service_metrics.THRESHOLD_QUEUE_AGE.child(name).set(limits.queue_age[name])
        service_metrics.THRESHOLD_QUEUE_MESSAGES.child(name).set(limits.queue_messages[name])
