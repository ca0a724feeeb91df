"""Every event that the log can hold, defined once: its level, its fields with type and bound, and what it means.

docs/logging.md is made from it, and tests hold the code and the lines of a running service against it. It writes
nothing, and the service does not import it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from docs.generator.log_fields import Field, Type, deviations_of
from miltscan.core.action import ActionName
from miltscan.core.message import Direction
from miltscan.core.probe import ProbeKind
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import Place
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.telemetry.log import CHAIN_SHOWN, FRAMES_SHOWN, LINE_LIMIT, RECIPIENTS_SHOWN


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, the levels it can have, what it means, and its fields beside those of every line."""

    name: str
    levels: tuple[str, ...]
    meaning: str
    fields: tuple[Field, ...] = ()


def deviations(line: Mapping[str, object]) -> list[str]:
    """Where a line is not as documented, a text each; empty if it is."""
    event = next((event for event in EVENTS if event.name == line.get("event")), None)
    if event is None:
        return [f"event {line.get('event')!r} is not documented"]
    level = [] if line.get("level") in event.levels else [f"level {line.get('level')!r} of {event.name}"]
    return level + [f"{event.name}: {wrong}" for wrong in deviations_of(line, (*EVERY_LINE, *event.fields))]


_ANY = "its line"

EVERY_LINE = (
    Field("timestamp", Type.TIME, "When it was written: ISO 8601, UTC, milliseconds.", "29 characters"),
    Field("level", Type.TEXT, "How grave it is.", values=("debug", "info", "warning", "error")),
    Field("event", Type.TEXT, "What happened: one of the events above."),
)
_WORKER = Field("worker", Type.INTEGER, "The worker's number.", "0 to 127", least=0, most=127)
_ENGINE = Field("engine", Type.TEXT, "The engine's name.", "names of engines")
_SERVER = Field("server", Type.TEXT, "The engine's server, as the configuration has it.", "configured servers")
_CHILD = Field("child", Type.TEXT, "Which process: `worker N`, `exporter`, `tracer` or `prober`.", "closed list")
_WHY = Field("why", Type.TEXT, "The cause, in words.", _ANY)
_PROBE = Field("message", Type.TEXT, "Which of the two probes.", values=tuple(ProbeKind))
_PROBE_REPLY = Field("reply", Type.TEXT, "What the sendmail said.", _ANY)
_ENDPOINT = Field("endpoint", Type.TEXT, "Where traces go: `tracing.endpoint`.", "its line")
_ENDED = Field("status", Type.TEXT, "How the process ended: `exit status N` or `killed by SIGNAL`.", "closed list")
_QUEUE = Field("queue", Type.TEXT, "Whose it is.", values=("incoming", "delivery"))
_REFUSALS = ("network", "crowd", "tls", "request", "credentials", "busy", "response")
_BUG = (
    Field("exception", Type.TEXT, "Type and text of the exception.", _ANY),
    Field(
        "traceback",
        Type.TEXTS,
        "Type, then `file:line function: code`, innermost last; then the same for what caused it.",
        f"{CHAIN_SHOWN} exceptions of {FRAMES_SHOWN} frames",
        most=CHAIN_SHOWN * (FRAMES_SHOWN + 1),
    ),
)
_REASON = Field(
    "reason", Type.TEXT, "Why it is unscanned (the limit) or an error (the fault).", values=(*Limit, *Fault), null=True
)
_OUTCOME = Field("outcome", Type.TEXT, "The verdict.", values=tuple(Outcome))
_SIGNATURE = Field("signature", Type.TEXT, "What the engine found.", _ANY, null=True)
_MILLISECONDS = Field("ms", Type.NUMBER, "Milliseconds that it took, to a tenth.", "0 and more", least=0)
_ASKED = (
    _ENGINE,
    _OUTCOME,
    replace(_SERVER, meaning="The server that answered; empty if none did."),
    _MILLISECONDS,
    replace(_SIGNATURE, null=False, optional=True),
    replace(_REASON, null=False, optional=True),
    Field("detail", Type.TEXT, "The engine's or the system's own words.", _ANY, optional=True),
)
_MESSAGE = (
    Field("queue_id", Type.TEXT, "The MTA's queue ID: the key to sendmail's own log lines.", _ANY),
    Field("message_id", Type.TEXT, "The Message-ID header; empty if there is none.", _ANY),
    Field("client_address", Type.TEXT, "IP address of the SMTP client; `local` for a program, `unknown`.", _ANY),
    Field("client_name", Type.TEXT, "Its host name as the MTA found it.", _ANY),
    Field("sender", Type.TEXT, "The envelope sender.", _ANY),
    Field(
        "recipients",
        Type.TEXTS,
        "The first envelope recipients.",
        f"{RECIPIENTS_SHOWN} texts",
        most=RECIPIENTS_SHOWN,
    ),
    Field("recipients_count", Type.INTEGER, "How many there are in all.", "0 and more", least=0),
    Field("direction", Type.TEXT, "Which way it goes.", values=tuple(Direction)),
    Field("size", Type.INTEGER, "Bytes of the message.", "0 and more", least=0),
    replace(_OUTCOME, meaning="The verdict that decided."),
    _REASON,
    _SIGNATURE,
    Field(
        "receipt",
        Type.TEXT,
        "What its scan receipt is worth, at the delivery side (receipt.md); null elsewhere.",
        values=tuple(ReceiptResult),
        null=True,
    ),
    Field(
        "rule",
        Type.TEXT,
        "The rule that decided: a key of `[policy]`, `clean`, `receipt`, `probe`, `exception`, `mta-gone`.",
        _ANY,
    ),
    Field("action", Type.TEXT, "What was done with it.", values=tuple(ActionName)),
    Field(
        "reply",
        Type.TEXT,
        "Our SMTP reply; null where the client hears the MTA's own 250.",
        "one line, printable ASCII",
        null=True,
    ),
    Field("engines", Type.OBJECTS, "An entry per engine asked: see below.", "the configured engines", parts=_ASKED),
    Field("waited_ms", Type.NUMBER, "Milliseconds waited for a scan slot.", "0 and more", least=0),
    Field("total_ms", Type.NUMBER, "Milliseconds from EOM to the decision.", "0 and more", least=0),
    _WORKER,
)

EVENTS = (
    Event(
        "message",
        ("info", "warning"),
        "A message is done. Warning: not scanned wholly (outcome unscanned or error), or tempfailed.",
        _MESSAGE,
    ),
    Event(
        "probe_message",
        ("info", "warning"),
        "A probe is done: scanned like a message and then refused, with the proof of it. It has no line `message`.",
        (*_MESSAGE, replace(_PROBE, name="probe")),
    ),
    Event(
        "probe_works",
        ("info",),
        "A probe went well through the incoming sendmail (told at start and on a change).",
        (_PROBE, _PROBE_REPLY),
    ),
    Event(
        "probe_fails", ("error",), "A probe did not come back with the proof of its scan.", (_PROBE, _WHY, _PROBE_REPLY)
    ),
    Event("probe_off", ("error",), "A reload has taken away the key that probes are signed with.", (_WHY,)),
    Event(
        "start",
        ("info",),
        "The service begins.",
        (
            Field("version", Type.TEXT, "miltscan's version.", _ANY),
            Field("socket", Type.TEXT, "The milter socket.", _ANY),
        ),
    ),
    Event(
        "ready",
        ("info",),
        "Every worker takes mail.",
        (Field("workers", Type.INTEGER, "How many.", "1 to 128", least=1, most=128),),
    ),
    Event(
        "stop",
        ("info",),
        "The service has ended.",
        (Field("status", Type.INTEGER, "Its exit status.", "0 or 1", least=0, most=1),),
    ),
    Event("start_failed", ("error",), "A worker found the world around it wrong.", (_CHILD, _WHY)),
    Event(
        "reload",
        ("info",),
        "The configuration was read again.",
        (Field("needs_restart", Type.TEXTS, "Keys that take effect at the next start only.", "keys"),),
    ),
    Event(
        "reload_failed",
        ("error",),
        "The file is wrong; the former configuration stays.",
        (Field("why", Type.TEXTS, "A text per mistake.", "mistakes of the file"),),
    ),
    Event("tracing_off", ("error",), "Traces are wanted, but the packages for them are missing.", (_WHY,)),
    Event("tracing_works", ("info",), "The collector takes traces (told on a change).", (_ENDPOINT,)),
    Event("tracing_fails", ("warning",), "The collector takes no traces (told on a change).", (_ENDPOINT, _WHY)),
    Event("child_ended", ("info",), "A process ended while the service stops.", (_CHILD, _ENDED)),
    Event(
        "child_died",
        ("error",),
        "A process died and is replaced.",
        (
            _CHILD,
            _ENDED,
            Field("respawn_after", Type.NUMBER, "Seconds until then.", "0 to 30", least=0, most=30),
        ),
    ),
    Event(
        "exception",
        ("error",),
        "A bug of ours.",
        (
            Field(
                "where",
                Type.TEXT,
                "`eom`: the message was tempfailed; `receipt`: it was scanned; `report`: after the reply, its line or "
                "counters are missing; `measure`: in the exporter, queues and disk; `probe`: in the prober or "
                "at a probe, which was refused or went as ordinary mail.",
                values=tuple(Place),
            ),
            *_BUG,
            replace(_WORKER, optional=True),
        ),
    ),
    Event("child_failed", ("error",), "A bug of ours that ends a process.", (_CHILD, *_BUG)),
    Event(
        "engine_up",
        ("info",),
        "A server of an engine can be used (told at start and on a change).",
        (_ENGINE, _SERVER, _WHY, _WORKER),
    ),
    Event(
        "engine_down",
        ("error",),
        "A server of an engine cannot be used until it passes its canary.",
        (_ENGINE, _SERVER, _WHY, _WORKER),
    ),
    Event(
        "engine_fault",
        ("debug",),
        "One exchange failed; another server may have answered.",
        (
            _ENGINE,
            _SERVER,
            Field("reason", Type.TEXT, "The fault.", values=tuple(Fault)),
            Field("detail", Type.TEXT, "The engine's or the system's own words.", _ANY),
            _WORKER,
        ),
    ),
    Event(
        "access_failed",
        ("error",),
        "The exporter cannot use its files (certificate, users, token); what it had stays.",
        (Field("why", Type.TEXTS, "A text per fault.", "faults of the files"),),
    ),
    Event(
        "http_refused",
        ("debug",),
        "The exporter did not serve a connection or a request.",
        (
            Field("reason", Type.TEXT, "Why: a label of `miltscan_http_refused_total`.", values=_REFUSALS),
            Field("peer", Type.TEXT, "Address of the peer.", "its line"),
        ),
    ),
    Event(
        "queue_unreadable",
        ("warning",),
        "A queue of sendmail cannot be read: its metrics are missing until it can. Said once.",
        (
            _QUEUE,
            Field("folder", Type.TEXT, "Its folder.", "its line"),
            Field("why", Type.TEXT, "The system's words.", "its line"),
        ),
    ),
    Event("queue_readable", ("info",), "It can be read again.", (_QUEUE,)),
    Event(
        "signatures",
        ("info",),
        "The server has another signature database than before.",
        (
            _ENGINE,
            _SERVER,
            Field("version", Type.INTEGER, "Its version.", "0 and more", least=0),
            Field("published", Type.NUMBER, "When it came out: seconds since 1970.", "0 and more", least=0),
            _WORKER,
        ),
    ),
)


def documentation() -> str:
    """docs/logging.md."""
    events = [f"| [`{event.name}`](#{event.name}) | {', '.join(event.levels)} | {event.meaning} |" for event in EVENTS]
    tables = [line for event in EVENTS for line in _section(event)]
    fields = _table(EVERY_LINE)
    entry = ["### An entry of `engines`", "", *_table(_ASKED), ""]
    return "\n".join([_HEAD, *fields, _EVENTS_HEAD, *events, "", "## Fields", "", *tables, *entry, _TAIL])


def _section(event: Event) -> list[str]:
    return [f"### `{event.name}`", "", event.meaning, "", *_table(event.fields), ""]


def _table(fields: tuple[Field, ...]) -> list[str]:
    rows = [f"| `{field.name}` | {_type(field)} | {_bound(field)} | {field.meaning} |" for field in fields]
    return ["| field | type | bound | meaning |", "| --- | --- | --- | --- |", *rows]


def _type(field: Field) -> str:
    missing = " (may be missing)" if field.optional else ""
    return field.type.value + (" or null" if field.null else "") + missing


def _bound(field: Field) -> str:
    return ", ".join(f"`{value}`" for value in field.values) or field.bound


_HEAD = f"""\
# Log lines

miltscan writes its log to stdout, one event a line; who keeps it (journald, a container runtime, a file) is not its
business. `[log] format = "json"` is for machines, `"console"` for people; `level` is the least level written.

A line takes at most {LINE_LIMIT:,} bytes and is one write, so lines of several workers never mix on a pipe; a text that
would make it longer is cut and ends with `…` (bound: its line). What a message brings with it is shown with escapes
(`\\x1b`, `\\u202e`) where it is not printable. A line that cannot be written is counted
(`miltscan_log_lines_lost_total`) and dropped: the log never fails a message. Fields stand in the order of the tables.

This page is made from the code, and tests hold the lines of a running service against it:

    python -m docs.generator.log_events >docs/logging.md

`miltscan trace` puts the line of a message between those of both sendmails: [trace.md](trace.md). Programs that read
the lines (rsyslog, the journal, Vector, logcheck, Fail2ban), and traces by OpenTelemetry: [log-tools.md](log-tools.md).

## Every line
"""

_EVENTS_HEAD = """
## Events

| event | level | meaning |
| --- | --- | --- |"""

_TAIL = """\
What comes with a message (Message-ID, client name, sender, recipients, signature, detail) is its sender's to choose.
A program that looks for a field has to parse the line, or to match it from its beginning, string by string: the text
`"client_address":"192.0.2.1"` can stand within a sender, as `\\"client_address\\":\\"192.0.2.1\\"`.
"""


if __name__ == "__main__":
    sys.stdout.write(documentation())
