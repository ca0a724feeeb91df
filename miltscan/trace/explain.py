"""The meaning of each part of a log line, in words; docs/trace.md is the longer text.

Meanings are those of sendmail's own source (envelope.c and headers.c, logsender; deliver.c, logdelivery; queue.c,
assign_queueid) and of its Installation and Operation Guide, "The System Log".
"""

import re
from dataclasses import dataclass
from datetime import datetime

from miltscan.sandwich.logline import EventKind, LogEvent, handoff_id, parse_line, queue_id_time
from miltscan.trace.links import LinkKind, links


@dataclass(frozen=True, slots=True)
class LinePart:
    """A part of a line as it is written there, and its meaning."""

    name: str
    value: str
    meaning: str


KINDS = {
    EventKind.ENVELOPE: "this sendmail received a message (its envelope), or refused it after the envelope",
    EventKind.SCAN: "what miltscan did; docs/logging.md lists every field",
    EventKind.QUARANTINE: "what was done with a quarantined or held message; docs/logging.md lists every field",
    EventKind.MILTER: "what this sendmail did on request of a milter",
    EventKind.RULESET: "a check of sendmail's own configuration (check_mail, check_rcpt, ...) refused a command",
    EventKind.DELIVERY: "one attempt to deliver the message to these recipients",
    EventKind.OTHER: "another line, which is not about the path of a message",
}
LINKS = {
    LinkKind.COPY: "this sendmail gave some recipients a copy with another queue ID, which has its own lines",
    LinkKind.NOTICE: "this sendmail made a bounce or report about the message; it has its own queue ID and lines",
}
FIELDS = {
    "from": "envelope sender (MAIL FROM), which receives bounces; <> is the sender of a bounce",
    "size": "bytes of the message as received, before this sendmail adds header lines; 0 if no message was sent",
    "class": "precedence class from a Precedence: header line: 0 normal, 100 special-delivery, -30 list, -60 bulk",
    "nrcpts": "number of envelope recipients after alias expansion",
    "msgid": "the Message-ID header line, cut after 100 characters; the same at both sendmails",
    "bodytype": "the client's BODY= parameter: 7BIT or 8BITMIME",
    "proto": "the protocol: SMTP, ESMTP, ESMTPS (with TLS), ESMTPA (with AUTH); absent for a local program",
    "daemon": "the listener that accepted the message: Name= of DAEMON_OPTIONS",
    "tls_verify": "the client's or server's certificate: OK, NO (none presented), FAIL, NONE (no TLS)",
    "auth": "the SASL mechanism of the client's authentication, or NONE",
    "to": "recipients of this attempt; [more] at the end: the list continues in the next line",
    "ctladdr": "the user (uid/gid) whose rights are used: the owner of the alias or .forward, or the local sender",
    "delay": "time since this sendmail received the message, [days+]hours:minutes:seconds",
    "xdelay": "duration of this attempt, [days+]hours:minutes:seconds",
    "mailer": "the M line of the .cf file that was used: local, esmtp, relay, *file*, *include*, ...",
    "pri": "priority in the queue, the lowest first; it grows with size, recipients and each attempt",
    "relay": "the host at the other end",
    "STARTTLS": "TLS began: with server, the other host was the client; with client, this one was",
    "AUTH": "a user authenticated: with server, to this host; with client, this host to another one",
    "dsn": "status code of RFC 3463",
    "stat": "result of the attempt",
    "reply": "the SMTP reply of the other host",
    "ntries": "number of delivery attempts",
    "ruleset": "the check that refused",
    "arg1": "what was checked: the client's host, the sender or the recipient",
    "arg2": "what else was checked, for instance the client's address",
    "reject": "the reply to the client; 4yz: try again later, 5yz: permanent",
    "quarantine": "reason why the message is held in the queue until an administrator releases it (miltscan hold)",
    "version": "TLS protocol",
    "verify": "result of checking the other side's certificate: OK, NO (none presented), FAIL, NOT (not requested)",
    "cipher": "TLS cipher suite",
    "bits": "effective and full bits of the cipher",
    "authid": "the user that authenticated",
    "mech": "the SASL mechanism",
    "info": "what is wrong",
    "where": "the part of the message in which it is wrong",
    "status": "the reply to the client: tempfail or reject",
    "owner": "the address that receives the bounces of this copy",
}
_OURS = "a field of miltscan's own log"
_DSN = {
    "2": "sent: the next host or mailbox has the message",
    "4": "deferred: it stays in this queue, and sendmail tries again",
    "5": "failed permanently: the sender gets a bounce",
}
_STATS = (
    (r"Sent\b", "sent; the answer of the next host is in brackets"),
    (r"Deferred", "deferred: it stays in this queue, and sendmail tries again"),
    (r"queued", "only put into the queue; the next queue run tries it"),
    (r"[Qq]uarantine", "held in the queue"),
    (r"Service unavailable|User unknown|Host unknown|Data format error", "failed permanently, and the reason"),
)


def explain(line: str, now: datetime) -> list[LinePart]:
    """Each part of a log line with its meaning; of any line at least its kind. `now` is as for `parse_line`."""
    event = parse_line(line, now)
    head = (
        ("time", event.time and event.time.isoformat(sep=" "), "when the line was written"),
        ("host", event.host, "the host that wrote it"),
        ("program", event.program, "the name set by sendmail -L: sm-mta, sendmail, incoming, delivery"),
        ("pid", event.pid, "process ID: each session and each delivery has its own"),
        ("queue ID", event.queue_id, _queue_id(event.queue_id or "")),
        ("line", event.kind, _kind(event)),
    )
    parts = [LinePart(name, str(value), meaning) for name, value, meaning in head if value or value == 0]
    if not event.fields and event.text:
        parts.append(LinePart("text", event.text, "in sendmail's own words"))
    for name in event.fields:
        value, meaning = event.get(name) or "", _OURS
        if event.kind not in {EventKind.SCAN, EventKind.QUARANTINE}:
            detail = _detail(name, value, event)
            meaning = FIELDS.get(name, "unknown to this version of miltscan") + (f": {detail}" if detail else "")
        parts.append(LinePart(name, value, meaning))
    return parts


def _kind(event: LogEvent) -> str:
    linked = links(event)
    return LINKS.get(linked[0].kind, KINDS[event.kind]) if linked else KINDS[event.kind]


def _queue_id(queue_id: str) -> str:
    meaning = "the message's name at this sendmail and in its queue directory"
    made = queue_id_time(queue_id)
    return f"{meaning}; made at {made:%Y-%m-%d %H:%M:%S} UTC" if made else meaning


def _detail(name: str, value: str, event: LogEvent) -> str:
    """The meaning of this value, if more than that of the field is known; else empty."""
    match name:
        case "relay" if event.kind is EventKind.DELIVERY:
            return "the next host"
        case "relay":
            return "the client: [its address] follows its name"
        case "stat" if queue_id := handoff_id(event):
            return f"sent; the next sendmail has it as {queue_id}: look for that queue ID"
        case "stat":
            return next((meaning for pattern, meaning in _STATS if re.match(pattern, value)), "the reason, in words")
        case "dsn":
            return _DSN.get(value[:1], "")
        case _:
            return ""
