"""The scan receipt: a header that proves how the incoming side scanned a message; only a holder of the key can make it.

    X-Miltscan-Receipt: v=2; k=KEY; t=TIME; o=OUTCOME; by=BY; r=REASON; s=SIGNATURES; a=ADDED; d=DIGEST; m=MAC

BY is what accepted the message, REASON why it was not scanned, empty where it was. Version 1 has neither; it stays
valid, because mail that has it may wait in a queue while miltscan is upgraded.

DIGEST is that of the parts of the message that sendmail does not change between its two sides, MAC is an HMAC-SHA256 of
all text before it. As in DKIM (RFC 6376 sections 3.4.2 and 5.4) header fields count in their relaxed form, and as
with its over-signing a field that is added later breaks the receipt, unless sendmail itself adds or rewrites it:
`_REWRITTEN`, and ADDED, which it adds where they are missing. The order of fields of different names does not count.
Every byte of the body does.

Pure; the digest of the body is passed in. Nothing here raises, for any header.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from miltscan.core.edits import Header
from miltscan.core.keys import Key, Keyring
from miltscan.core.verdict import Fault, Limit, Outcome

RECEIPT_HEADER = "X-Miltscan-Receipt"
SKEW = 300.0
"""Seconds that the clocks of two hosts may be apart."""

_NAME = RECEIPT_HEADER.lower().encode()
_REWRITTEN = frozenset(
    # conf.c and headers.c of sendmail: addresses that it rewrites, folds again or removes
    b"from sender reply-to to cc bcc errors-to return-receipt-to delivery-receipt-to disposition-notification-to"
    b" apparently-to"
    # trace and envelope lines that it adds or removes
    b" received return-path full-name x-authentication-warning content-length".split()
)
_REWRITTEN_PREFIXES = (b"resent-", b"x-virus-", b"x-miltscan-")
_ADDED = (b"date", b"message-id")  # mailer flags D and M: added where missing, else unchanged
_OUTCOMES = {outcome.encode(): outcome for outcome in Outcome}
_REASONS: Mapping[bytes, Limit | Fault] = {reason.encode(): reason for reason in (*Limit, *Fault)}
_CURABLE = (Limit.TIMEOUT, Limit.NO_ENGINE, Limit.BUSY, Limit.ENGINE_UNABLE, None)
"""Reasons for `UNSCANNED` that a second scan may cure; None is a reason that this version does not know."""
_BLANKS = bytes.maketrans(b"\t\r\n", b"   ")
_RUN = re.compile(rb"  +")
_FORM = re.compile(
    rb"(v=(?:1|(?P<two>2)); k=(?P<key>[A-Za-z0-9._-]{1,32}); t=(?P<time>[0-9]{1,12}); o=(?P<outcome>[a-z]{1,16});"
    rb"(?(two) by=(?P<by>[a-z]{1,16}); r=(?P<reason>[a-z-]{0,32});) s=(?P<signatures>[0-9]{1,12});"
    rb" a=(?P<added>[a-z-]*(?:,[a-z-]+)*); d=(?P<digest>[0-9a-f]{64})); m=(?P<mac>[0-9a-f]{64})"
)


class ReceiptResult(StrEnum):
    """The result of a receipt check; a metric label. Only `VALID` saves a scan; `RESCANNED` is a valid one, too."""

    VALID = "valid"
    RESCANNED = "rescanned"
    NONE = "none"
    FORGED = "forged"
    STALE = "stale"
    UNKNOWN_KEY = "unknown-key"
    MISMATCH = "mismatch"


class AcceptedBy(StrEnum):
    """What accepted a message: the result of its scan and the policy, a rule, or a release from the quarantine."""

    SCAN = "scan"
    RULE = "rule"
    RELEASE = "release"


_ACCEPTED_BY = {by.encode(): by for by in AcceptedBy}


class Claim(NamedTuple):
    """The content of a receipt: time (seconds since the epoch), outcome of the scan, and signature database.

    `by` is what accepted the message. `reason` is why it was not scanned; None where it was, and where it is not known.
    """

    time: int
    outcome: Outcome
    signatures: int
    by: AcceptedBy = AcceptedBy.SCAN
    reason: Limit | Fault | None = None

    @property
    def curable(self) -> bool:
        """Whether the message was accepted although its scan failed, so that another scan may give a result."""
        if self.by is not AcceptedBy.SCAN:  # a rule and a release knew the outcome and accepted it
            return False
        return self.outcome is Outcome.ERROR or (self.outcome is Outcome.UNSCANNED and self.reason in _CURABLE)


class Checked(NamedTuple):
    """The result of a receipt check, and what the receipt says if it is valid."""

    receipt: ReceiptResult
    claim: Claim | None = None


def sign_receipt(key: Key, claim: Claim, headers: Sequence[Header], body: bytes) -> str:
    """The value of the receipt header for a message with these headers; `body` is the digest of its body."""
    names = {name.lower() for name, _ in headers}
    added = b",".join(name for name in _ADDED if name not in names)
    text = (
        f"v=2; k={key.id}; t={claim.time}; o={claim.outcome}; by={claim.by}; r={claim.reason or ''};"
        f" s={claim.signatures}; a={added.decode()}; d={_digest(headers, added, body)}"
    )
    return f"{text}; m={_mac(key, text.encode())}"


def verify_receipt(
    keys: Keyring, headers: Sequence[Header], body: Callable[[], bytes], now: float, max_age: float
) -> Checked:
    """Check the receipt among the headers `now` (seconds since the epoch), at an age of up to `max_age`.

    The receipt of a release has no largest age: a held message has it from its EOM on, however long it is held. Nor has
    that of a message which no engine is asked about, as it is too large: newer signatures make no difference. `body` is
    called for the digest of the body only where all else is correct.
    """
    found = [value for name, value in headers if name.lower() == _NAME]
    if not found:
        return Checked(ReceiptResult.NONE)
    form = _FORM.fullmatch(_relaxed(found[0]))
    claim = None if form is None or len(found) > 1 else _claim(form)  # the incoming side leaves one
    if form is None or claim is None:
        return Checked(ReceiptResult.FORGED)
    fault = _fault(keys, form, now, max_age)
    if fault is None and not hmac.compare_digest(_digest(headers, form["added"], body()).encode(), form["digest"]):
        fault = ReceiptResult.MISMATCH
    return Checked(fault) if fault else Checked(ReceiptResult.VALID, claim)


def _claim(form: re.Match[bytes]) -> Claim | None:
    """What the receipt says; None if its outcome, or what accepted the message, is unknown."""
    outcome, by = _OUTCOMES.get(form["outcome"]), _ACCEPTED_BY.get(form["by"] or b"scan")
    if outcome is None or by is None:
        return None
    return Claim(int(form["time"]), outcome, int(form["signatures"]), by, _REASONS.get(form["reason"]))


def _fault(keys: Keyring, form: re.Match[bytes], now: float, max_age: float) -> ReceiptResult | None:
    """What is wrong with the receipt itself, independent of its message; None if nothing is."""
    key = next((key for key in keys if key.id.encode() == form["key"]), None)
    if key is None:
        return ReceiptResult.UNKNOWN_KEY
    if not hmac.compare_digest(_mac(key, form[1]).encode(), form["mac"]):
        return ReceiptResult.FORGED
    age = now - int(form["time"])
    ageless = form["by"] == AcceptedBy.RELEASE.encode() or form["reason"] == Limit.TOO_LARGE.encode()
    return None if age >= -SKEW and (ageless or age <= max_age) else ReceiptResult.STALE


def _mac(key: Key, text: bytes) -> str:
    return hmac.digest(key.secret, b"miltscan receipt\n" + text, "sha256").hex()


def _digest(headers: Sequence[Header], added: bytes, body: bytes) -> str:
    """The digest of the fields by name, those of one name in their order, and of the body's digest."""
    left_out = _REWRITTEN.union(added.split(b","))
    lines = sorted(_lines(headers, left_out), key=itemgetter(0))
    return hashlib.sha256(b"".join([b"%b:%b\n" % line for line in lines]) + b"\n" + body).hexdigest()


def _lines(headers: Sequence[Header], left_out: frozenset[bytes]) -> Iterator[Header]:
    for name, value in headers:
        lower = name.lower()
        if lower not in left_out and (lower[:1] not in b"rx" or not lower.startswith(_REWRITTEN_PREFIXES)):
            yield lower, _relaxed(value)


def _relaxed(value: bytes) -> bytes:
    """Unfolded, a run of blanks as one, none at the ends (RFC 6376 section 3.4.2)."""
    blank = value.translate(_BLANKS).strip(b" ")
    return _RUN.sub(b" ", blank) if b"  " in blank else blank
