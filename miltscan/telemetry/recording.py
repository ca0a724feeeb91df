"""Updates the metrics of messages, and of start and reload; it defines none."""

import platform
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from miltscan import __version__
from miltscan.core.message import direction
from miltscan.core.policy import is_builtin
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import Copies, Report, Timed
from miltscan.core.ruled import Ruling
from miltscan.core.signature import signature_class
from miltscan.core.structure import Agreement, Structure, anomalies_of
from miltscan.core.text import readable
from miltscan.core.verdict import Advice, Fault, Limit, Outcome, Verdict
from miltscan.telemetry import engine_metrics, keeper_metrics, mail_metrics, service_metrics
from miltscan.telemetry.engine_metrics import SIZE_LIMITS, SizeClass
from miltscan.telemetry.exemplars import EXEMPLARS
from miltscan.telemetry.family import Measured, mark, observe
from miltscan.telemetry.mail_metrics import CopyFate

_MTA_ACCEPTS = 250
_SIGNATURE_LENGTH = 100  # characters of a signature in a label
_SIZES = tuple(SizeClass)


def started(configuration: str, workers: int, keys: Sequence[str]) -> None:
    """Record versions, hash of the configuration, ids of the keys, and time; the supervisor calls it at the start."""
    service_metrics.BUILD.child(__version__, platform.python_version()).set(1)
    service_metrics.CONFIG.child(configuration).set(1)
    service_metrics.WORKERS_CONFIGURED.child().set(workers)
    service_metrics.RELOADED.child().set_to_current_time()
    _record_keys(keys)


def reloaded(before: str, now: str, keys: Sequence[str]) -> None:
    """Record a successful reload; both configurations are given by their hashes, which may be equal."""
    service_metrics.RELOADS.child("ok").inc()
    service_metrics.RELOADED.child().set_to_current_time()
    service_metrics.CONFIG.forget(before)
    service_metrics.CONFIG.child(now).set(1)
    service_metrics.KEYS.forget_all()
    _record_keys(keys)


def _record_keys(keys: Sequence[str]) -> None:
    """Show which keys are in use; the first one signs."""
    for number, key in enumerate(keys):
        service_metrics.KEYS.child(key, "verifies" if number else "signs").set(1)


def reload_failed() -> None:
    """Record a failed reload: the former configuration stays in force."""
    service_metrics.RELOADS.child("failed").inc()


def record_reports(reports: Iterable[Report]) -> None:
    """Count messages. Many at once cost a fraction of what they would cost one by one (docs/lab/cost.md)."""
    tally = _Tally()
    for report in reports:
        tally.add(report)
    tally.write()


def record_refusals(rulings: Iterable[Ruling]) -> None:
    """Count the rules by which recipients were refused at RCPT: these are no messages."""
    for ruling in rulings:
        _record_match(ruling.decision.rule, "yes")
        for name in ruling.observed:
            _record_match(name, "no")


class _Tally:
    """The counts of some messages: collected first, then written one series at a time."""

    def __init__(self) -> None:
        self.now = time.time()
        self.ends: Counter[tuple[str, str, str, int]] = Counter()
        self.sizes: list[Measured] = []
        self.totals: list[Measured] = []
        self.waits: list[Measured] = []
        self.puts: list[Measured] = []
        self.copies: list[Measured] = []
        self.structures: list[Measured] = []
        self.readings: Counter[Agreement] = Counter()
        self.anomalies: Counter[str] = Counter()
        self.parts_scanned = 0
        self.scans: defaultdict[tuple[str, ...], list[Measured]] = defaultdict(list)
        self.scores: defaultdict[str, list[Measured]] = defaultdict(list)

    def add(self, report: Report) -> None:
        message, verdict, decision, verdicts, waited, total, missing, receipt, _probe, kept, listed = report[:11]
        if receipt is not None:
            mail_metrics.RECEIPTS.child(receipt).inc()
        if receipt is ReceiptResult.VALID:  # it was counted at the incoming side
            return
        size, queue_id, reply = message.size, message.queue_id, decision.reply
        going = direction(message.client, message.envelope)
        self.ends[going, verdict.outcome, decision.action.name, reply.code if reply else _MTA_ACCEPTS] += 1
        self.sizes.append((size, queue_id))
        self.totals.append((total, queue_id))
        self.waits.append((waited, queue_id))
        for timed in verdicts:
            self._add_scan(timed, size, queue_id)
        for one in missing:
            engine_metrics.ENGINE_MISSING.child(one.engine, one.reason or Fault.EXCEPTION).inc()
        if kept and kept.error:
            keeper_metrics.QUARANTINE_PUT_ERRORS.child().inc()
        elif kept:
            self.puts.append((kept.seconds, queue_id))
        _record_rules(report)
        self._add_structure(report.message.structure, queue_id)
        if report.copies:
            self._add_copies(report.copies, queue_id)
        self.puts += [(group.kept.seconds, queue_id) for group in report.groups if group.kept]
        if listed:
            mail_metrics.LIST_HITS.child(listed.list).inc()
        if verdict.outcome is not Outcome.CLEAN or verdict.allowed:
            _record_unclean(verdict, queue_id, self.now)

    def _add_structure(self, structure: Structure | None, queue_id: str) -> None:
        if structure is None:
            return
        self.readings[structure.agreement] += 1
        self.anomalies.update(anomalies_of(structure))
        self.parts_scanned += len(structure.scans)
        self.structures.append((structure.seconds, queue_id))

    def _add_copies(self, copies: Copies, queue_id: str) -> None:
        counts = {
            CopyFate.ACCEPTED: copies.accepted,
            CopyFate.REFUSED: copies.refused,
            CopyFate.FAILED: int(bool(copies.error)),
        }
        for fate, number in counts.items():
            mail_metrics.COPIES.child(fate).inc(number)
        self.copies.append((copies.seconds, queue_id))

    def _add_scan(self, timed: Timed, size: int, queue_id: str) -> None:
        one, seconds = timed
        if one.server:  # without a server (no slot, no server up) there was no scan
            name = _SIZES[bisect_left(SIZE_LIMITS, size)]
            self.scans[one.engine, one.server, name].append((seconds, queue_id))
        if one.score is not None and one.advice is not None:
            self.scores[one.engine].append((one.score, queue_id))
            _record_advice(one.engine, one.advice)

    def write(self) -> None:
        for (going, outcome, action, code), count in self.ends.items():
            mail_metrics.MESSAGES.child(going, outcome, action).inc(count)
            mail_metrics.REPLIES.child(str(code)).inc(count)
        if self.sizes:
            observe(mail_metrics.MESSAGE_BYTES, (), self.sizes, self.now)
            observe(mail_metrics.MESSAGE_SECONDS, (), self.totals, self.now)
            observe(mail_metrics.SLOT_WAIT_SECONDS, (), self.waits, self.now)
        if self.puts:
            observe(keeper_metrics.QUARANTINE_PUT_SECONDS, (), self.puts, self.now)
        if self.structures:
            self._write_structures()
        if self.copies:
            observe(mail_metrics.COPY_SECONDS, (), self.copies, self.now)
        for labels, measured in self.scans.items():
            observe(engine_metrics.SCAN_SECONDS, labels, measured, self.now)
        for engine, measured in self.scores.items():
            observe(engine_metrics.SPAM_SCORE, (engine,), measured, self.now)
        EXEMPLARS.write()

    def _write_structures(self) -> None:
        for reading, count in self.readings.items():
            mail_metrics.STRUCTURES.child(reading).inc(count)
        for anomaly, count in self.anomalies.items():
            mail_metrics.ANOMALY_MESSAGES.child(anomaly).inc(count)
        mail_metrics.PARTS_SCANNED.child().inc(self.parts_scanned)
        observe(mail_metrics.STRUCTURE_SECONDS, (), self.structures, self.now)


def _record_advice(engine: str, advice: Advice) -> None:
    """Count what an anti-spam engine proposed, and its rules while there are free series."""
    engine_metrics.SPAM_ACTIONS.child(engine, advice.action).inc()
    family = engine_metrics.SPAM_SYMBOLS
    for name in advice.symbols:
        full = family.used >= engine_metrics.SYMBOLS_NAMED and not family.knows(engine, name)
        family.child(engine, engine_metrics.OTHER_SYMBOL if full else name).inc()


def _record_rules(report: Report) -> None:
    """Count the rules of the configuration that decided, each once for a message, and those that only would have."""
    names = {group.decision.rule for group in report.groups} if report.groups else (report.decision.rule,)
    for name in names:
        if not is_builtin(name):
            _record_match(name, "yes")
    for name in report.observed:
        _record_match(name, "no")
    if report.shadow:
        mail_metrics.SHADOW_DECISIONS.child("differs" if report.shadow.differs else "same").inc()


def _record_match(rule: str, enforced: str) -> None:
    family = mail_metrics.RULE_MATCHES
    full = family.used >= mail_metrics.RULES_NAMED and not family.knows(rule, enforced)
    family.child(mail_metrics.OTHER_RULE if full else rule, enforced).inc()


def _record_unclean(verdict: Verdict, queue_id: str, now: float) -> None:
    """Count why a message was not scanned, or what was found: its class, and its name while there are free series."""
    if verdict.reason is not None:
        mail_metrics.UNSCANNED.child(verdict.reason).inc()
        mark(mail_metrics.UNSCANNED, (verdict.reason,), queue_id, now)
    if verdict.reason is Limit.BUSY:
        mail_metrics.SHED.child().inc()
    if verdict.signature is not None:
        kind, name = signature_class(verdict.signature), readable(verdict.signature, _SIGNATURE_LENGTH)
        family = mail_metrics.SIGNATURE_DETECTIONS
        full = family.used >= mail_metrics.SIGNATURES_NAMED and not family.knows(name)
        family.child(mail_metrics.OTHER_SIGNATURE if full else name).inc()
        mail_metrics.DETECTIONS.child(kind).inc()
        mark(mail_metrics.DETECTIONS, (kind,), queue_id, now)
