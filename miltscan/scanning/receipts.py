"""A pipeline that signs what it accepts, and one that accepts such receipts; the core defines what a receipt is.

No error here lets anything pass: without a receipt, or with one that could not be checked, the delivery side scans.
"""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from miltscan.core.action import KEPT, Accept, Decision, HeaderEdit, InsertHeader, removals
from miltscan.core.keys import Keyring
from miltscan.core.message import Message
from miltscan.core.receipt import (
    RECEIPT_HEADER,
    RECEIPT_PATTERN,
    Checked,
    Claim,
    ReceiptResult,
    sign_receipt,
    verify_receipt,
)
from miltscan.core.report import Report
from miltscan.core.session import head
from miltscan.core.verdict import Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.pipeline import Processor

HEADROOM = 64 * 1024
"""Bytes by which a message may have grown between the two sides: `Received`, ours, folds; all headers of the delivery
sendmail together are no more (MaxHeadersLength)."""

_CHUNK = 256 * 1024  # bytes
_PASS = Accept()


@dataclass(frozen=True, slots=True)
class Signing:
    """The incoming side: each message that `pipeline` accepts gets a receipt; those that it arrived with are removed.

    `signatures` returns the signature database of an engine's server; `failed` is notified of exceptions here.
    """

    pipeline: Processor
    keys: Keyring
    signatures: Callable[[str, str], int]
    failed: Callable[[Exception], None]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the pipeline's."""
        report = self.pipeline.process(message, tick)
        if not isinstance(report.decision.action, KEPT):
            return report
        began = time.monotonic()
        decision = report.decision.edited(
            (*removals(message.headers, RECEIPT_PATTERN), *self._receipt(message, report))
        )
        return report._replace(decision=decision, seconds=report.seconds + time.monotonic() - began)

    def _receipt(self, message: Message, report: Report) -> tuple[HeaderEdit, ...]:
        """No receipt for a message that is held, which is scanned again at its release, or that is incomplete."""
        if message.settled or not isinstance(report.decision.action, Accept):
            return ()
        try:
            version = self.signatures(report.verdict.engine, report.verdict.server)
            claim = Claim(int(time.time()), report.verdict.outcome, version)
            return (
                InsertHeader(RECEIPT_HEADER, sign_receipt(self.keys[0], claim, message.headers, body_digest(message))),
            )
        except Exception as error:  # noqa: BLE001 - it was scanned: without a receipt it is scanned again
            self.failed(error)
            return ()


@dataclass(frozen=True, slots=True)
class Verifying:
    """The delivery side: a message with a valid receipt of at most `max_age` seconds passes; others are scanned.

    No receipt reaches a mailbox.
    """

    pipeline: Processor
    keys: Keyring
    max_age: float
    failed: Callable[[Exception], None]

    def process(self, message: Message, tick: Tick) -> Report:
        """As the pipeline's."""
        if message.settled:  # incomplete, or at MAIL: there is nothing to compare
            return _cleaned(self.pipeline.process(message, tick))
        began = time.monotonic()
        checked = self._check(message)
        if checked.outcome is not None:
            verdict, decision = (
                Verdict.vouched(checked.outcome),
                Decision(_PASS, "receipt", removals(message.headers, RECEIPT_PATTERN)),
            )
            return Report(message, verdict, decision, (), 0.0, time.monotonic() - began, receipt=checked.receipt)
        return _cleaned(self.pipeline.process(message, tick))._replace(receipt=checked.receipt)

    def _check(self, message: Message) -> Checked:
        try:
            return verify_receipt(self.keys, message.headers, partial(body_digest, message), time.time(), self.max_age)
        except Exception as error:  # noqa: BLE001 - the message is scanned
            self.failed(error)
            return Checked(ReceiptResult.MISMATCH)


def _cleaned(report: Report) -> Report:
    return report._replace(decision=report.decision.edited(removals(report.message.headers, RECEIPT_PATTERN)))


def body_digest(message: Message) -> bytes:
    """SHA-256 of the body, read from the spool after its preface and headers. Raises OSError."""
    digest, offset = hashlib.sha256(), len(head([*message.headers]))
    while chunk := os.pread(message.content.fileno(), _CHUNK, offset):
        digest.update(chunk)
        offset += len(chunk)
    return digest.digest()
