"""clamd's replies to a scan, parsed purely into a closed set.

The grammar is closed: what is not exactly one known reply is `Failed(GARBLED)`, so nothing unknown becomes `Clean`.
The forms are those of clamd(8) and of the replies of ClamAV 1.4.
"""

import re
from dataclasses import dataclass
from enum import Enum

from miltscan.core.verdict import Fault, Limit
from miltscan.engines.reply import Failed, Limited

MAX_REPLY = 4096
"""Bytes of the longest reply that is read; the name of a signature has about a hundred at most."""


class Form(Enum):
    """How clamd names what it scanned, by which a reply to our scan is recognized."""

    DESCRIPTOR = rb"fd\[[0-9]+\]"
    STREAM = rb"stream"


@dataclass(frozen=True, slots=True)
class Clean:
    """clamd replied OK and nothing else."""


@dataclass(frozen=True, slots=True)
class Found:
    """clamd found what `signature` names (any characters)."""

    signature: str


ClamdReply = Clean | Found | Limited | Failed

CLEAN = Clean()
_CLOSED = Failed(Fault.CLOSED, "closed without a reply")
_UNNAMED = {b"", b"(null)"}

_WHOLE: dict[tuple[Form, bytes], ClamdReply] = {
    (Form.DESCRIPTOR, b"UNKNOWN COMMAND\0"): Failed(Fault.REPORTED, "FILDES is unknown", refused=True),
    (Form.DESCRIPTOR, b"No file descriptor received. ERROR\0"): Failed(Fault.REPORTED, "no descriptor", refused=True),
    (Form.STREAM, b"INSTREAM size limit exceeded. ERROR\0"): Limited(Limit.LIMITS, "over clamd's StreamMaxLength"),
}
_FD, _FD_OK = b"fd[", b"]: OK\0"
_VERDICT = {form: re.compile(form.value + rb": (?:(?P<ok>OK)|(?:(?P<name>[^\0\n]*) )?FOUND)\0") for form in Form}
_COMPLAINT = re.compile(
    rb"([^\0\n]*ERROR\0|UNKNOWN COMMAND\0|COMMAND READ TIMED OUT[\0\n])"
)  # the LF even after z commands

_LIMITS = {"Heuristics.Limits.Exceeded": Limit.LIMITS, "Heuristics.Encrypted": Limit.ENCRYPTED}
"""Limits that clamd reports as if they were signatures (AlertExceedsMax, AlertEncrypted)."""


def parse_numbered(data: bytes, number: int) -> ClamdReply:
    """All that clamd sent since the `number`-th command of a session, FILDES, as its reply. Total: never raises."""
    prefix = b"%d: " % number
    if data.startswith(prefix):
        answer = data[len(prefix) :]
        # nearly every reply, recognized without the pattern, which costs ten times as much
        if answer.startswith(_FD) and answer.endswith(_FD_OK) and answer[len(_FD) : -len(_FD_OK)].isdigit():
            return CLEAN
        return parse_reply(answer, Form.DESCRIPTOR)
    if data == b"UNKNOWN COMMAND\0":
        return Failed(Fault.REPORTED, "IDSESSION is unknown", refused=True)
    return _failed(data) if data else _CLOSED


def parse_reply(data: bytes, form: Form) -> ClamdReply:
    """All that clamd sent on one connection, as the reply to a scan of this form. Total: never raises."""
    if verdict := _VERDICT[form].fullmatch(data):
        return CLEAN if verdict["ok"] else _found(verdict["name"] or b"")
    if not data:
        return _CLOSED
    return _WHOLE.get((form, data)) or _failed(data)


def _found(name: bytes) -> ClamdReply:
    signature = "unnamed" if name in _UNNAMED else _text(name)
    for prefix, limit in _LIMITS.items():
        if signature.startswith(prefix):
            return Limited(limit, signature)
    return Found(signature)


def _failed(data: bytes) -> Failed:
    fault = Fault.REPORTED if _COMPLAINT.fullmatch(data) else Fault.GARBLED
    return Failed(fault, _text(data[:200].rstrip(b"\0\n")))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")
