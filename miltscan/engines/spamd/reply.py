"""spamd's replies to SYMBOLS, parsed purely into a closed set. Total: never raises.

    SPAMD/1.1 0 EX_OK
    Content-length: 33
    Spam: False ; -0.0 / 5.0

    MSGID_SHORT,NO_RECEIVED,NO_RELAYS

A code other than 0 is a failure (sysexits.h); 79 is spamd's own for a scan that took too long. No rule at all is usual
for a plain mail, with the score 0 (`tests=none`). A spamd without its rules fails the self-test.
"""

import re

from miltscan.core.text import printable_ascii
from miltscan.core.verdict import Fault, Limit, SpamAction
from miltscan.engines.antispam.reply import SYMBOLS_KEPT, Scored, SpamReply, garbled, is_score, symbol
from miltscan.engines.reply import Failed, Limited

_STATUS = re.compile(rb"SPAMD/1\.[0-9]{1,3} ([0-9]{1,3}) ([^\r\n]*)\r\n")
_SPAM = re.compile(
    rb"Spam: *(True|False|Yes|No) *; *(-?[0-9]{1,9}(?:\.[0-9]+)?) */ *(-?[0-9]{1,9}(?:\.[0-9]+)?) *", re.IGNORECASE
)
_LENGTH = re.compile(rb"Content-length: *([0-9]{1,9}) *", re.IGNORECASE)
_TOO_LONG = 79


def parse_spamd(data: bytes, size: int) -> SpamReply:
    """All that spamd sent on one connection, as its reply to a message of `size` bytes."""
    if not data:
        return Failed(Fault.CLOSED, "closed without a reply")
    status = _STATUS.match(data)
    if status is None:
        return garbled(printable_ascii(data, 100))
    if code := int(status[1]):
        if code == _TOO_LONG:
            return Limited(Limit.TIMEOUT, "spamd took too long")
        return Failed(Fault.REPORTED, f"code {code} {printable_ascii(status[2], 100)}")
    return _result(data[status.end() :], size)


def _result(data: bytes, size: int) -> SpamReply:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return garbled("the reply ends within its head")
    lines = head.split(b"\r\n")
    results = [found for line in lines if (found := _SPAM.fullmatch(line))]
    lengths = [int(found[1]) for line in lines if (found := _LENGTH.fullmatch(line))]
    if len(results) != 1 or len(lengths) != 1:
        return garbled("no result")
    if lengths[0] != len(body):
        return garbled(f"{len(body)} bytes of a reply of {lengths[0]}")
    return _scored(results[0], body, size)


def _scored(result: re.Match[bytes], body: bytes, size: int) -> SpamReply:
    score, threshold = float(result[2]), float(result[3])
    if not is_score(score) or not is_score(threshold):
        return garbled("a score without measure")
    spam = result[1].lower() in {b"true", b"yes"}
    if (score < threshold) if spam else (score > threshold):  # both are rounded, so that equal ones show neither
        return garbled("score and result contradict each other")
    names = [name for name in body.decode("ascii", "replace").strip().split(",") if name]
    if not names and size and score:
        return garbled("a score without a rule")
    return Scored(spam, score, threshold, SpamAction.NONE, tuple(map(symbol, names[:SYMBOLS_KEPT])))
