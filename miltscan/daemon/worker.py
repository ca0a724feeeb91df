"""One worker process: builds its engine after the fork, lets libmilter serve beside it, takes orders, and drains.

It decides nothing about mail. libmilter runs in a side thread, because it takes signals in a thread of its own (HUP
would stop the filter); Python's handlers and the supervisor's orders are the main thread's.
"""

import gc
import os
import signal
import socket
import threading
import time
from collections import deque
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.core.report import Report
from miltscan.engines.clamd.engine import ClamdEngine
from miltscan.milter.callbacks import Milter
from miltscan.milter.conversation import Runtime
from miltscan.milter.threads import Pool
from miltscan.processes.link import DRAIN, READY, Link
from miltscan.processes.signals import Signals
from miltscan.scanning.pipeline import Pipeline, Processor, Slots, scan_slots
from miltscan.scanning.probing import Probing
from miltscan.scanning.receipts import HEADROOM, Signing, Verifying
from miltscan.scanning.spool import on_disk
from miltscan.status.events import Reporter
from miltscan.telemetry import log, metrics, recording
from miltscan.telemetry.observer import EngineObserver
from miltscan.telemetry.process import Usage
from miltscan.telemetry.traces import Traces

_COLLECT_AFTER = 10_000  # new containers: some thirty messages
_PUBLISH = 0.25  # seconds between two updates of the metrics
_KEEP = 600.0  # seconds between two signs of life of the control sessions
_LOOK = 0.05  # seconds between two looks at what still runs, while draining
_QUIET = 0.2  # seconds without work after which a drain is done: a session that has just been accepted shows itself
_SESSIONS = 8  # that all workers keep open to a clamd: below its MaxThreads (10) and a quarter of its MaxQueue (100)
_GRACE = 5.0  # seconds for which a drain waits for sessions that have no transaction open


class MessageRecorder:
    """What the milter tells, for the metrics, the log and the status page. Never raises."""

    def __init__(self, logger: FilteringBoundLogger, number: int, reporter: Reporter | None = None) -> None:
        self.log = logger
        self.number = number
        self._reporter = reporter
        self._reports: deque[Report] = deque()
        self._usage = Usage(str(number))

    def done(self, report: Report) -> None:
        """A message was decided: its one line now, its counters with the next `publish`. A probe has its line alone."""
        is_mail = report.probe is None
        if is_mail:
            self._reports.append(report)
        try:
            log.message(report, self.number)
            if self._reporter and is_mail:
                self._reporter.message(report)
        except Exception as error:  # noqa: BLE001 - the MTA must hear the decision even if nobody can be told
            self.exception("report", error)

    def publish(self, sessions: int, transactions: int) -> None:
        """Bring the metrics up to date, told how many of both are open.

        For many messages at once that costs a fifth of what it costs at each.
        A worker that is killed takes the last few counts with it; every message has its line.
        """
        try:
            recording.record_reports(self._taken())
            metrics.SESSIONS.child().set(sessions)
            metrics.TRANSACTIONS.child().set(transactions)
            files, size = on_disk()
            metrics.SPOOL_FILES.child().set(files)
            metrics.SPOOL_BYTES.child().set(size)
            self._usage.tell()
        except Exception as error:  # noqa: BLE001 - as above
            self.exception("report", error)

    def _taken(self) -> list[Report]:
        """The reports so far, which are taken off: messages may end meanwhile."""
        return [self._reports.popleft() for _ in range(len(self._reports))]

    def exception(self, where: str, error: Exception) -> None:
        """Our own code failed."""
        metrics.EXCEPTIONS.child(where).inc()
        self.log.error("exception", where=where, exc_info=error)


class TracingRecorder(MessageRecorder):
    """A watch that also has each message traced; without tracing there is none, and no cost."""

    def __init__(self, logger: FilteringBoundLogger, number: int, reporter: Reporter, traces: Traces) -> None:
        super().__init__(logger, number, reporter)
        self._traces = traces

    def done(self, report: Report) -> None:
        """As in Watch; the trace is made with the next `publish`."""
        super().done(report)
        if report.probe is None:
            self._traces.take(report)

    def publish(self, sessions: int, transactions: int) -> None:
        """As in Watch, and hand the traces on."""
        super().publish(sessions, transactions)
        try:
            self._traces.send()
        except Exception as error:  # noqa: BLE001 - as in Watch
            self.exception("report", error)


class Worker:
    """The state of one worker process; `hostname` is what our headers name.

    One that `verifies` serves the delivery side: it believes receipts instead of making them.
    """

    def __init__(self, loaded: Loaded, watch: MessageRecorder, hostname: str, *, verifies: bool = False) -> None:
        self._hostname = hostname
        self._verifies = verifies
        self._settings = settings = loaded.settings
        self._keys = loaded.keys
        self._watch = watch
        self._slots = _slots(settings)
        self._engine = self._start_engine(settings)
        self._thread = threading.Thread(target=self._serve, name="libmilter", daemon=True)
        self._pool = Pool(self._thread)
        self._milter = Milter(self._runtime(settings), self._watch, self._pool.kick)

    def run(self, listener: socket.socket, link: Link) -> None:
        """Serve `listener` until told to drain, or until the supervisor has died."""
        signals = Signals([signal.SIGTERM])
        self._milter.register(self._pool.fileno())
        self._thread.start()
        self._pool.open(listener)
        _leave_alone_what_stays()
        metrics.WORKERS.child().set(1)
        link.send(READY)
        kept = time.monotonic()
        while signal.SIGTERM not in signals.read() and self._obey(link):
            wait([link, signals.fileno()], _PUBLISH)
            self._publish()
            if time.monotonic() - kept > _KEEP:
                self._pool.keep()
                kept = time.monotonic()
        listener.close()  # of an orphan too: it must not keep a new service from the socket
        self._drain()

    def _serve(self) -> None:
        """A worker without libmilter is none: it ends, and is replaced."""
        try:
            self._milter.main()
        finally:
            os._exit(1)

    def _obey(self, link: Link) -> bool:
        """Carry out one order; False if it is to drain."""
        if not link.poll():
            return True
        try:
            order = link.recv()
        except (EOFError, OSError):  # the supervisor has died
            return False
        if isinstance(order, Loaded):
            self._reload(order)
        return order != DRAIN

    def _reload(self, loaded: Loaded) -> None:
        """Messages that have begun keep what they began with, the engine too; the next MAIL sees the new."""
        old, settings = self._settings, loaded.settings
        self._settings, self._keys = settings, loaded.keys
        log.configure(settings.log.format, settings.log.level)
        self._watch.log = log.logger(worker=self._watch.number)
        if settings.limits.concurrent_scans != old.limits.concurrent_scans:
            self._slots = _slots(settings)
        if (settings.clamd, settings.log) != (old.clamd, old.log):
            self._observer.retire()
            self._engine = self._start_engine(settings)
            self._observer.forget(set(map(str, old.clamd.servers)) - set(map(str, settings.clamd.servers)))
        self._milter.runtime = self._runtime(settings)

    def _start_engine(self, settings: Settings) -> ClamdEngine:
        clamd, self._observer = settings.clamd, EngineObserver(self._watch.log)
        sessions = _SESSIONS // settings.workers
        engine = ClamdEngine(clamd.servers, clamd.canary_interval, self._observer, sessions)
        engine.start()
        return engine

    def _runtime(self, settings: Settings) -> Runtime:
        limits = settings.limits
        policy = settings.policy_for(self._hostname)
        pipeline = Pipeline([self._engine], policy, self._slots, limits.scan_timeout, limits.queue_wait)
        size = limits.message_size + (HEADROOM if self._verifies else 0)
        return Runtime(self._with_keys(pipeline), size, Path(settings.spool.directory), settings.spool.memory)

    def _with_keys(self, pipeline: Pipeline) -> Processor:
        """With receipts, and on the incoming side with probes. One that came to delivery would have to bounce there."""
        keys, failed = self._keys, partial(self._watch.exception, metrics.Place.RECEIPT)
        if self._verifies:
            return Verifying(pipeline, keys, self._settings.receipt.max_age, failed)
        if not keys:
            return pipeline
        signing = Signing(pipeline, keys, self._observer.version, failed)
        return Probing(signing, pipeline, keys, partial(self._watch.exception, metrics.Place.PROBE))

    def _drain(self) -> None:
        """Accept nothing more, let what runs end: the longest scan at most.

        The connections that nobody has accepted yet stay in the public listener's queue.
        """
        nobody = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        nobody.bind("")
        nobody.listen(1)
        nobody.settimeout(0)  # non-blocking
        self._pool.replace(nobody)
        self._wait_until_quiet()

    def _wait_until_quiet(self) -> None:
        limits = self._settings.limits
        began = quiet_since = time.monotonic()
        last = began + limits.queue_wait + limits.scan_timeout + _GRACE  # nobody else presses an orphan
        while (now := time.monotonic()) - quiet_since < _QUIET and now < last:
            idle = self._milter.transactions == 0
            if not idle or (self._milter.sessions and now - began < _GRACE):
                quiet_since = now
            self._publish()
            time.sleep(_LOOK)
        self._publish()

    def _publish(self) -> None:
        self._watch.publish(self._milter.sessions, self._milter.transactions)


def _slots(settings: Settings) -> Slots:
    """This worker's share of the scan slots, rounded up."""
    return scan_slots(-(-settings.limits.concurrent_scans // settings.workers))


def _leave_alone_what_stays() -> None:
    """What is there when the first mail comes stays: the garbage collector need not look through it again and again.

    With its default threshold it would run two or three times a message.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
