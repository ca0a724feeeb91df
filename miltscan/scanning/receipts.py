"""A pipeline that signs what it accepts, and one that accepts such receipts; the core defines what a receipt is.

No error here lets anything pass: without a receipt, or with one that could not be checked, the delivery side scans.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from miltscan.core.action import KEPT, Accept, Decision, Discard, Hold, Quarantine, Reply, TempFail
from miltscan.core.edits import InsertHeader, edited, removals
from miltscan.core.keys import Keyring
from miltscan.core.message import PREFACE, Message
from miltscan.core.policy import not_signed
from miltscan.core.receipt import (
    RECEIPT_HEADER,
    AcceptedBy,
    Checked,
    Claim,
    ReceiptResult,
    sign_receipt,
    verify_receipt,
)
from miltscan.core.released import RELEASED_HEADER
from miltscan.core.report import Report
from miltscan.core.session import head
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.pipeline import Processor

HEADROOM = 64 * 1024
"""Bytes by which a message may have grown between the two sides: `Received`, ours, folds; all headers of the delivery
sendmail together are no more (MaxHeadersLength)."""

RECEIPT_FIELD = (RECEIPT_HEADER.lower().encode(),)
"""The header that the delivery side removes, for `action.removals`."""
_RELEASED = RELEASED_HEADER.lower().encode()
_CHUNK = 256 * 1024  # bytes
_PASS = Accept()


@dataclass(frozen=True, slots=True)
class Signing:
    """The incoming side: each complete message that `pipeline` accepts or holds gets a receipt.

    The delivery side scans one without a receipt. A message that is too large to be scanned it would refuse, so the
    client keeps such a message if it is incomplete, because the spool had no room for all of it.

    It is signed over the headers as they stand after our own edits, which the MTA makes, or the copy for a group of
    recipients has. That of a held message is valid at its release: whoever releases it knows the outcome and accepts
    the message.
    `signatures` returns the signature database of an engine's server; `failed` is notified of exceptions here.
    """

    pipeline: Processor
    keys: Keyring
    signatures: Callable[[str, str], int]
    failed: Callable[[Exception], None]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the pipeline's."""
        report = self.pipeline.process(message, tick)
        if not (report.groups or isinstance(report.decision.action, KEPT)):
            return report
        if not is_whole(message):
            return _unsigned(report)
        began = time.monotonic()
        try:
            signed = self._signed(report)
        except Exception as error:  # noqa: BLE001 - it was scanned: without a receipt it is scanned again
            self.failed(error)
            return report
        return signed._replace(seconds=report.seconds + time.monotonic() - began)

    def _signed(self, report: Report) -> Report:
        """The report with a receipt in each decision by which somebody receives it; equal edits have equal receipts."""
        body, now = body_digest(report.message), int(time.time())
        decision = self._with_receipt(report, report.decision, body, now)
        if not report.groups:
            return report._replace(decision=decision)
        groups = []
        for group in report.groups:
            theirs = report._replace(verdict=group.verdict or report.verdict)
            groups.append(group._replace(decision=self._with_receipt(theirs, group.decision, body, now)))
        return report._replace(decision=decision, groups=tuple(groups))

    def _with_receipt(self, report: Report, decision: Decision, body: bytes, now: int) -> Decision:
        if not isinstance(decision.action, KEPT):
            return decision
        by = AcceptedBy.RELEASE if isinstance(decision.action, Hold) else AcceptedBy.SCAN
        headers = edited(report.message.headers, decision.edits)
        value = sign_receipt(self.keys[0], self._claim(report, by, now), headers, body)
        return decision.edited((InsertHeader(RECEIPT_HEADER, value),))

    def _claim(self, report: Report, by: AcceptedBy, now: int) -> Claim:
        """What the scan says. If several required engines failed, it names a failure that another scan may cure."""
        version = self.signatures(report.verdict.engine, report.verdict.server)
        failures = [] if report.verdict.outcome is not Outcome.UNSCANNED else report.verdicts
        verdicts = [report.verdict, *(one for one, _ in failures if one not in report.missing)]
        claims = [Claim(now, one.outcome, version, by, one.reason) for one in verdicts]
        return next((claim for claim in claims if claim.curable), claims[0])


@dataclass(frozen=True, slots=True)
class Verifying:
    """The delivery side: a message with a valid receipt of at most `max_age` seconds passes; others are scanned.

    A message that was accepted although its scan failed is scanned again, but only a virus stops it: its client has
    received 250, so a scan that fails twice must not refuse it. No receipt reaches a mailbox.
    """

    pipeline: Processor
    keys: Keyring
    max_age: float
    failed: Callable[[Exception], None]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the pipeline's."""
        if not is_whole(message):  # there is nothing to compare
            return _delivered(self.pipeline.process(message, tick))
        began = time.monotonic()
        checked = self._check(message)
        if checked.claim is None:
            return _delivered(self.pipeline.process(message, tick)._replace(receipt=checked.receipt))
        if checked.claim.curable and (better := self._scanned_again(message, tick)):
            return better
        verdict = Verdict.vouched(checked.claim.outcome, checked.claim.reason)
        return Report(message, verdict, _passing(message), (), 0.0, time.monotonic() - began, receipt=checked.receipt)

    def _scanned_again(self, message: Message, tick: Tick) -> Report | None:
        """The report of a second scan; None if that raised, as the message then passes without it."""
        try:
            report = self.pipeline.process(message, tick)
        except Exception as error:  # noqa: BLE001 - a tempfail would repeat until incoming bounces the message
            self.failed(error)
            message.content.retain()  # an engine may still read it
            return None
        outcome, action = report.verdict.outcome, report.decision.action
        # a clean message that is not accepted met the failure of an optional engine, which is no reason for a bounce
        better = outcome is Outcome.INFECTED or (outcome is Outcome.CLEAN and isinstance(action, Accept))
        decision = report.decision if better else _passing(message)
        return report._replace(decision=decision, receipt=ReceiptResult.RESCANNED)

    def _check(self, message: Message) -> Checked:
        try:
            return verify_receipt(self.keys, message.headers, partial(body_digest, message), time.time(), self.max_age)
        except Exception as error:  # noqa: BLE001 - the message is scanned
            self.failed(error)
            return Checked(ReceiptResult.MISMATCH)


def _unsigned(report: Report) -> Report:
    """The report on an incomplete message; one that the delivery side would refuse for its size is tempfailed."""
    settled = report.message.settled
    if settled and settled.reason is Limit.TOO_LARGE and isinstance(report.decision.action, KEPT):
        return report._replace(decision=not_signed(report.message.queue_id), groups=())
    return report


def _passing(message: Message) -> Decision:
    """The message passes as incoming decided, without its receipt."""
    return Decision(_PASS, "receipt", removals(message.headers, RECEIPT_FIELD))


def _delivered(report: Report) -> Report:
    """The report, but no 250 for a released message that is not delivered: its release would report success."""
    if not isinstance(report.decision.action, Quarantine | Discard | Hold):
        return report
    if not any(name.lower() == _RELEASED for name, _ in report.message.headers):
        return report
    text = f"Released message stopped again: its receipt is {report.receipt or 'missing'}; see: miltscan check"
    return report._replace(decision=Decision(TempFail(Reply(451, "4.7.1", text)), "receipt"))


def is_whole(message: Message) -> bool:
    """Whether all of its bytes are in the spool: those of a message above the limit are, if the policy keeps it."""
    if not message.settled:
        return True
    descriptor = message.content.fileno()
    return descriptor >= 0 and os.fstat(descriptor).st_size == len(PREFACE) + message.size


def body_digest(message: Message) -> bytes:
    """SHA-256 of the body, read from the spool after its preface and headers. Raises OSError."""
    digest, offset = hashlib.sha256(), len(head([*message.headers]))
    while chunk := os.pread(message.content.fileno(), _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.digest()
