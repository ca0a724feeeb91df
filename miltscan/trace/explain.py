"""What each part of a log line means, in words; docs/trace.md is the longer text beside it.

Meanings are those of sendmail's own source (envelope.c and headers.c, logsender; deliver.c, logdelivery; queue.c,
assign_queueid) and of its Installation and Operation Guide, "The System Log".
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from miltscan.sandwich.logline import EventKind, LogEvent, handoff_id, parse_line

_YEARS_AHEAD = 30  # a queue ID of 1990 to 2049: it has no century
_BASE60 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a line as it stands there, and what it means."""

    name: str
    value: str
    meaning: str


KINDS = {
    EventKind.ENVELOPE: "this sendmail has received a message (its envelope), or refused it right after",
    EventKind.SCAN: "what miltscan did; docs/logging.md lists every field",
    EventKind.MILTER: "what this sendmail did because a milter said so",
    EventKind.RULESET: "a check of sendmail's own configuration (check_mail, check_rcpt, ...) refused a command",
    EventKind.DELIVERY: "one attempt to bring the message to these recipients",
    EventKind.OTHER: "none of the lines that tell a message's way",
}
FIELDS = {
    "from": "envelope sender (MAIL FROM), where a bounce would go; <> is the sender of a bounce",
    "size": "bytes of the message as received, before this sendmail adds header lines; 0 if it never came so far",
    "class": "precedence class from a Precedence: header line: 0 normal, 100 special-delivery, -30 list, -60 bulk",
    "nrcpts": "number of envelope recipients, after aliases are expanded",
    "msgid": "the Message-ID header line, cut after 100 characters; the same at both sendmails",
    "bodytype": "what the client announced by BODY=: 7BIT or 8BITMIME",
    "proto": "how it came: SMTP, ESMTP, ESMTPS (with TLS), ESMTPA (with AUTH); absent if a local program gave it",
    "daemon": "the listener that took it: Name= of DAEMON_OPTIONS",
    "tls_verify": "the client's or server's certificate: OK, NO (none shown), FAIL, NONE (no TLS)",
    "auth": "the SASL mechanism by which the client proved who it is, or NONE",
    "to": "recipients of this attempt; [more] at the end: the list goes on in the next line",
    "ctladdr": "the user (uid/gid) whose rights are used: the owner of the alias or .forward, or the local sender",
    "delay": "since this sendmail received the message, [days+]hours:minutes:seconds",
    "xdelay": "how long this attempt took, [days+]hours:minutes:seconds",
    "mailer": "the M line of the .cf file that was used: local, esmtp, relay, *file*, *include*, ...",
    "pri": "the message's place in the queue, the least first: it grows with size, recipients and each attempt",
    "relay": "the host at the other end",
    "STARTTLS": "TLS began: server, the other host came to this one; client, this one went there",
    "AUTH": "a user proved itself: server, to this host; client, this host to another",
    "dsn": "status code of RFC 3463",
    "stat": "what came of the attempt",
    "reply": "the other host's SMTP reply, in its own words",
    "ntries": "how many times delivery was tried",
    "ruleset": "the check that refused",
    "arg1": "what was checked: the client's host, the sender or the recipient",
    "arg2": "what else was checked, for instance the client's address",
    "reject": "what the client was told; 4yz: try again later, 5yz: for good",
    "quarantine": "why the message is held in the queue until somebody releases it (sendmail -qQ)",
    "version": "TLS protocol",
    "verify": "result of checking the other side's certificate: OK, NO (none shown), FAIL, NOT (not asked for)",
    "cipher": "TLS cipher suite",
    "bits": "effective and full bits of the cipher",
    "authid": "the user that proved itself",
    "mech": "the SASL mechanism",
    "info": "what was found wrong",
    "where": "in which part of the message",
    "status": "what the client heard: tempfail or reject",
    "owner": "who gets the bounces of this copy",
}
_OURS = "a field of miltscan's own log"
_DSN = {
    "2": "sent: the next host or mailbox has it",
    "4": "deferred: it stays in this queue and is tried again",
    "5": "failed for good: the sender gets a bounce",
}
_STATS = (
    (r"Sent\b", "sent; in brackets what the next host answered"),
    (r"Deferred", "deferred: it stays in this queue and is tried again"),
    (r"queued", "only put into the queue; the next queue run tries it"),
    (r"[Qq]uarantine", "held in the queue"),
    (r"Service unavailable|User unknown|Host unknown|Data format error", "failed for good, and why"),
)


def explain(line: str, now: datetime) -> list[Part]:
    """Each part of a log line with its meaning; of any line at least what kind it is. `now` is as for `parse`."""
    event = parse_line(line, now)
    return [*_head(event), Part("line", str(event.kind), KINDS[event.kind]), *_fields(event)]


def _head(event: LogEvent) -> Iterator[Part]:
    if event.time:
        yield Part("time", event.time.isoformat(sep=" "), "when the line was written")
    if event.host:
        yield Part("host", event.host, "the host that wrote it")
    if event.program:
        yield Part("program", event.program, "sendmail -L names it: sm-mta, sendmail, incoming, delivery")
    if event.pid is not None:
        yield Part("pid", str(event.pid), "process ID: each session and each delivery has its own")
    if event.queue_id:
        yield Part("queue ID", event.queue_id, _queue_id(event.queue_id))


def _queue_id(queue_id: str) -> str:
    """Characters 1 to 6 are the time in base 60: year - 1900 (modulo 60), month from 0, day, hour, minute, second."""
    meaning = "the message's name at this sendmail and in its queue directory"
    try:
        year, month, day, hour, minute, second = (_BASE60.index(character) for character in queue_id[:6])
        century = 2020 if year < _YEARS_AHEAD else 1960
        made = datetime(century + year, month + 1, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return meaning
    return f"{meaning}; made at {made:%Y-%m-%d %H:%M:%S} UTC"


def _fields(event: LogEvent) -> Iterator[Part]:
    if not event.fields and event.text:
        yield Part("text", event.text, "in sendmail's own words")
    for name in event.fields:
        value = event.get(name) or ""
        yield Part(name, value, _OURS if event.kind is EventKind.SCAN else _meaning(name, value, event))


def _meaning(name: str, value: str, event: LogEvent) -> str:
    """What the field means, and after a colon what this value does."""
    closer = _CLOSER.get(name, _nothing)(value, event)
    return FIELDS.get(name, "not known to this version of miltscan") + (f": {closer}" if closer else "")


def _nothing(_value: str, _event: LogEvent) -> str:
    return ""


def _relay(_value: str, event: LogEvent) -> str:
    return (
        "the host it was given to" if event.kind is EventKind.DELIVERY else "the client: [its address] after its name"
    )


def _stat(value: str, event: LogEvent) -> str:
    if queue_id := handoff_id(event):
        return f"sent; the next sendmail has it as {queue_id}: look for that one"
    return next((meaning for pattern, meaning in _STATS if re.match(pattern, value)), "the reason, in words")


_CLOSER: dict[str, Callable[[str, LogEvent], str]] = {
    "relay": _relay,
    "stat": _stat,
    "dsn": lambda value, _: _DSN.get(value[:1], ""),
}
