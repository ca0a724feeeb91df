"""One worker process: builds its engines after the fork, runs libmilter in a side thread, obeys orders, and drains.

It decides nothing about mail. libmilter runs in a side thread because it handles signals in its own thread, where
HUP would stop the filter. Python's signal handlers and the supervisor's orders belong to the main thread.
"""

import gc
import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.core.early import recipient_class, refuses_at_rcpt, ruled_at_rcpt
from miltscan.core.facts import OF_ATTACHMENTS, OF_CIRCUMSTANCES
from miltscan.core.message import Message
from miltscan.core.patterns import address_keys
from miltscan.core.policy import Policy
from miltscan.core.rules import Rules
from miltscan.daemon.gate import Gate
from miltscan.daemon.recorder import MessageRecorder
from miltscan.daemon.watch import LibmilterWatch
from miltscan.milter.callbacks import Milter
from miltscan.milter.session import Runtime
from miltscan.milter.threads import Pool
from miltscan.processes.admission import Admission, has_connection
from miltscan.processes.link import DRAIN, READY, ChildLink
from miltscan.processes.listener_channel import received_listener
from miltscan.processes.signals import Signals
from miltscan.scanning.assemble import keeps_large, list_scope, pipeline_for, policy_for, processor_for, rules_for
from miltscan.scanning.engine_set import EngineSet
from miltscan.scanning.listwatch import ListWatch
from miltscan.scanning.pipeline import AtMail, Slots, scan_slots
from miltscan.scanning.receipts import HEADROOM
from miltscan.scanning.sources import Sources
from miltscan.telemetry import log, service_metrics

_COLLECT_AFTER = 10_000  # new containers, which about thirty messages make
_PUBLISH = 0.25  # seconds between two updates of the metrics
_KEEP = 600.0  # seconds between two packets on the control sessions, which libmilter closes after two silent hours
_POLL = 0.05  # seconds between two checks for open transactions during the drain
_QUIET = 0.2  # seconds without work that end the drain: by then a session that was just accepted is counted
_SESSIONS = 8  # that all workers keep open to one clamd: below MaxThreads (10) and a quarter of MaxQueue (100)
_LOOK = 1.0  # seconds between two checks of open connections, so that a host that sends nothing is refused as well
_GRACE = 5.0  # seconds for which the drain waits for sessions without an open transaction


class Worker:
    """The state of one worker process; `hostname` is the name in the headers that miltscan adds.

    A worker that `verifies` serves the delivery side: it checks receipts instead of making them.
    """

    def __init__(self, loaded: Loaded, recorder: MessageRecorder, hostname: str, *, verifies: bool = False) -> None:
        self._hostname = hostname
        self._verifies = verifies
        self._settings = settings = loaded.settings
        self._recorder = recorder
        self._slots = _slots(settings)
        self._engines = EngineSet(_SESSIONS // settings.workers)
        self._lists = self._watch_lists(settings)
        self._sources = self._watch_sources(settings)
        self._thread = threading.Thread(target=self._serve, name="libmilter", daemon=True)
        self._pool = Pool(self._thread)
        self._milter = Milter(self._runtime(loaded), self._recorder, self._pool.kick)
        self._admission: Admission | None = None
        self._gate = Gate(self._pool)
        self._milter.admit = self._begin_session
        self._watch = LibmilterWatch(self._milter, self._pool)

    def run(self, listener: socket.socket, link: ChildLink, renewals: socket.socket) -> None:
        """Serve `listener` until TERM, the order to drain, or the death of the supervisor.

        A new listener on `renewals` takes its place: the file of the former one was removed.
        """
        signals = Signals([signal.SIGTERM])
        if listener.family != socket.AF_UNIX:
            self._admission = Admission(listener, self._settings.milter.allow, self._recorder.refused)
        self._milter.register(self._pool.fileno())
        self._thread.start()
        self._lists.start()
        self._sources.start()
        self._pool.open(listener)
        _freeze_objects()
        service_metrics.WORKERS.child().set(1)
        self._publish()  # so that a service which is ready has a worker
        link.send(READY)
        kept = looked = time.monotonic()
        while signal.SIGTERM not in signals.read() and self._obey(link):
            wait([link, signals.fileno(), renewals], _PUBLISH)
            if new := received_listener(renewals):
                self._renew(listener, new)
                listener = new
            self._show_life(link)
            self._gate.turn(listener, self._recorder.log)
            now = time.monotonic()
            if now - kept > _KEEP:
                self._pool.keep()
                kept = now
            if self._admission and now - looked > _LOOK:
                with suppress(OSError):  # no descriptor is left: a new session is refused all the same
                    self._admission.enforce()
                looked = now
        place = listener.getsockname()
        listener.close()  # an orphan too must free the socket for a new service
        self._drain(link, place)

    def _begin_session(self) -> None:
        self._gate.check()
        if self._admission:
            self._admission.enforce()

    def _renew(self, former: socket.socket, new: socket.socket) -> None:
        """Serve another listener, after libmilter has accepted what waits at the former one, which no MTA can reach."""
        waiting = select.poll()
        waiting.register(former, select.POLLIN)
        given_up = time.monotonic() + _LOOK
        while waiting.poll(0) and time.monotonic() < given_up:
            time.sleep(_POLL)
        if not self._gate.closed:  # otherwise it opens the new one
            self._pool.replace(new)
        former.close()

    def _serve(self) -> None:
        """Run libmilter; when it ends, end the process, which the supervisor replaces."""
        try:
            self._milter.main()
        finally:
            os._exit(1)

    def _obey(self, link: ChildLink) -> bool:
        """Carry out one order; False if the worker must drain."""
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
        """Use the new settings from the next MAIL on; open transactions keep the engines they began with."""
        old, settings = self._settings, loaded.settings
        self._settings = settings
        log.configure(settings.log.format, settings.log.level)
        self._recorder.log = log.logger(worker=self._recorder.number)
        if self._admission:
            self._admission.networks = settings.milter.allow
        if settings.limits.concurrent_scans != old.limits.concurrent_scans:
            self._slots = _slots(settings)
        if settings.lists.file != old.lists.file:
            self._lists.end()
            self._lists = self._watch_lists(settings)
            self._lists.start()
        former, self._sources = self._sources, self._watch_sources(settings)
        self._milter.runtime = self._runtime(loaded)
        self._sources.start()
        former.end()
        self._recorder.log.info("reloaded")

    def _watch_sources(self, settings: Settings) -> Sources:
        return Sources(settings.policy.access_map, lambda: self._recorder.log)

    def _watch_lists(self, settings: Settings) -> ListWatch:
        return ListWatch(settings.lists.file, lambda: self._recorder.log)

    def _runtime(self, loaded: Loaded) -> Runtime:
        settings, recorder = loaded.settings, self._recorder
        if self._verifies:  # its client is the incoming sendmail, and the message has the headers about spam
            settings = settings.without_filters()
        engines = self._engines.follow(settings.engines, recorder.log)
        made = pipeline_for(settings, engines, self._slots, self._hostname, verifies=self._verifies)
        rules = rules_for(settings, self._sources.open, verifies=self._verifies)
        candidate = self._candidate(loaded.shadow)
        unwrapping = made.unwrapping
        if unwrapping and candidate and not candidate.rules.reads.isdisjoint(OF_ATTACHMENTS):
            unwrapping = replace(unwrapping, attachments=True)
        pipeline = replace(
            made,
            unwrapping=unwrapping,
            consult=partial(self._lists.consult, scope=list_scope(settings, verifies=self._verifies)),
            policy=replace(made.policy, rules=rules),
        )
        processor = processor_for(
            loaded,
            pipeline,
            self._engines.version,
            recorder.exception,
            self._hostname,
            verifies=self._verifies,
            candidate=candidate,
        )
        reads = rules.reads | (candidate.rules.reads if candidate else frozenset())
        size = settings.limits.message_size + (HEADROOM if self._verifies else 0)
        probed = address_keys(settings.probe.recipient.encode())[0]
        return Runtime(
            processor,
            None if self._verifies else AtMail(pipeline),  # the message may have a receipt with which it passes
            size,
            keeps_large(settings, rules, verifies=self._verifies),
            Path(settings.spool.directory),
            settings.spool.memory,
            bool(settings.filters) or not reads.isdisjoint(OF_CIRCUMSTANCES),
            settings.splits,
            partial(self._class_of, rules) if settings.splits_at_rcpt and not self._verifies else None,
            partial(ruled_at_rcpt, pipeline.policy, probed) if refuses_at_rcpt(rules) and not self._verifies else None,
            recorder.recipient_refused,
        )

    def _class_of(self, rules: Rules, message: Message) -> object:
        """What decides about the only recipient of the envelope: the rules that are left, and entries of the lists."""
        return recipient_class(rules, message), self._lists.current.audience(message.envelope.recipients[0])

    def _candidate(self, shadow: Settings | None) -> Policy | None:
        """The policy of `run --shadow`. Its files and maps are read again at a reload only."""
        if shadow is None:
            return None
        made = policy_for(shadow, self._hostname, verifies=self._verifies)
        rules = rules_for(shadow, self._watch_sources(shadow).open, verifies=self._verifies)
        return replace(made, rules=rules)

    def _drain(self, link: ChildLink, place: object) -> None:
        """Accept no more connections, and wait until open transactions finish: for the longest scan at most.

        Connections that are not accepted yet stay in the queue of the shared listener, whose name is `place`. One that
        was accepted counts as a session from that moment, however long its MTA takes to begin.
        """
        self._pool.pause()
        limits = self._settings.limits
        began = quiet_since = time.monotonic()
        last = began + limits.queue_wait + limits.scan_timeout + _GRACE  # the bound of an orphan, which nothing kills
        while (now := time.monotonic()) - quiet_since < _QUIET and now < last:
            idle = self._milter.transactions == 0
            if not idle or (now - began < _GRACE and has_connection(place)):
                quiet_since = now
            self._show_life(link)
            time.sleep(_POLL)
        self._publish()

    def _show_life(self, link: ChildLink) -> None:
        """Show the supervisor that the main thread works; end the process if libmilter or a callback does not."""
        link.beat()
        self._publish()
        if why := self._watch.stuck(time.monotonic()):
            self._recorder.hangs(why)
            os._exit(1)

    def _publish(self) -> None:
        self._recorder.publish(self._milter.sessions, self._milter.transactions)


def _slots(settings: Settings) -> Slots:
    """Return this worker's share of the scan slots, rounded up."""
    return scan_slots(-(-settings.limits.concurrent_scans // settings.workers))


def _freeze_objects() -> None:
    """Exempt the objects that exist before the first message from garbage collection: they live as long as the process.

    With the default threshold the collector would run two or three times for each message.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
