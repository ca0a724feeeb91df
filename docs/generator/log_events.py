"""Every event of the log, defined once: its level, its fields with type and bound, and its meaning.

`log_page` makes docs/logging.md from it. Tests compare it with the code and with the lines of a running service, which
does not import it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from docs.generator.log_fields import Field, Type, deviations_of
from miltscan.core.action import ActionName
from miltscan.core.lists import ListName
from miltscan.core.message import Direction
from miltscan.core.probe import ProbeKind
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import RECIPIENTS_SHOWN, Place
from miltscan.core.rescan import RescanResult
from miltscan.core.structure import Agreement
from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction
from miltscan.telemetry.log import DECISIONS_SHOWN, SYMBOLS_SHOWN
from miltscan.telemetry.log_line import CHAIN_SHOWN, FRAMES_SHOWN


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, levels and meaning, and its fields in addition to those of every line."""

    name: str
    levels: tuple[str, ...]
    meaning: str
    fields: tuple[Field, ...] = ()


def deviations(line: Mapping[str, object]) -> list[str]:
    """Return how a line deviates from its documentation, a text each; empty if it does not."""
    event = next((event for event in EVENTS if event.name == line.get("event")), None)
    if event is None:
        return [f"event {line.get('event')!r} is not documented"]
    level = [] if line.get("level") in event.levels else [f"level {line.get('level')!r} of {event.name}"]
    return level + [f"{event.name}: {wrong}" for wrong in deviations_of(line, (*EVERY_LINE, *event.fields))]


_ANY = "the line"

EVERY_LINE = (
    Field("timestamp", Type.TIME, "Time of the line: ISO 8601, UTC, milliseconds.", "29 characters"),
    Field("level", Type.TEXT, "Severity.", values=("debug", "info", "warning", "error")),
    Field("event", Type.TEXT, "What happened: one of the events below."),
)
_WORKER = Field("worker", Type.INTEGER, "The worker's number.", "0 to 127", least=0, most=127)
_ENGINE = Field("engine", Type.TEXT, "The engine's name.", "names of engines")
_SERVER = Field("server", Type.TEXT, "The server of the engine, as in the configuration.", "configured servers")
_SOCKET = Field("socket", Type.TEXT, "The socket for MTAs, as in the configuration.", "milter.socket, verify.socket")
_ADDRESS = Field("address", Type.TEXT, "Its address.", _ANY)
_CHILD = Field(
    "child", Type.TEXT, "The process: `worker N`, `exporter`, `tracer`, `prober` or `keeper`.", "closed list"
)
_WHY = Field("why", Type.TEXT, "The cause in words.", _ANY)
_PROBE = Field("message", Type.TEXT, "Which of the two probes it is.", values=tuple(ProbeKind))
_PROBE_REPLY = Field("reply", Type.TEXT, "The reply of the incoming sendmail.", _ANY)
_ENDPOINT = Field("endpoint", Type.TEXT, "The destination of traces: `tracing.endpoint`.", _ANY)
_ENDED = Field("status", Type.TEXT, "How the process ended: `exit status N` or `killed by SIGNAL`.", "closed list")
_QUEUE = Field("queue", Type.TEXT, "Which queue it is.", values=("incoming", "delivery"))
_ENTRY = Field("entry", Type.TEXT, "The ID of the entry.", "20 characters")
_AREA = Field("area", Type.TEXT, "The area of the quarantine.", _ANY)
_ARRIVED_AS = Field("queue_id", Type.TEXT, "The MTA's queue ID of the message when it arrived.", _ANY)
_WORK = Field(
    "work",
    Type.TEXT,
    "What the keeper does: `index`, `expire`, `rescan`, `release`, `notice`, `archive` or `archive lookup`.",
    values=("index", "expire", "rescan", "release", "notice", "archive", "archive lookup"),
)
_RESCANS = {
    RescanResult.CLEARED: "are no longer detected",
    RescanResult.DETECTED: "are detected as before",
    RescanResult.RENAMED: "are detected by another signature",
    RescanResult.UNSCANNED: "were not scanned completely",
    RescanResult.FAILED: "were not scanned because an engine failed",
}
_DIGEST = Field("digest", Type.TEXT, "SHA-256 of the part, or of the message.", "64 digits")
_MAIL = (
    Field("kind", Type.TEXT, "`notice`, `summary`, or `late`.", values=("notice", "summary", "late")),
    Field("about", Type.TEXT, "The ID of the entry, the day of the summary, or the digest.", "up to 64 characters"),
    Field("recipient", Type.TEXT, "Its recipient.", _ANY),
    Field("reply", Type.TEXT, "The reply of the delivery sendmail, or why there was none.", _ANY),
)
_REFUSALS = ("network", "crowd", "tls", "request", "host", "credentials", "busy", "response")
_BUG = (
    Field("exception", Type.TEXT, "Type and text of the exception.", _ANY),
    Field(
        "traceback",
        Type.TEXTS,
        "Type, then `file:line function: code`, innermost frame last; then the same for the cause of the exception.",
        f"{CHAIN_SHOWN} exceptions of {FRAMES_SHOWN} frames",
        most=CHAIN_SHOWN * (FRAMES_SHOWN + 1),
    ),
)
_REASON = Field(
    "reason",
    Type.TEXT,
    "Why the message was not scanned (a limit) or why the scan failed (a fault).",
    values=(*Limit, *Fault),
    null=True,
)
_OUTCOME = Field("outcome", Type.TEXT, "The outcome of the verdict.", values=tuple(Outcome))
_SIGNATURE = Field("signature", Type.TEXT, "The signature that the engine detected, allowed or not.", _ANY, null=True)
_MILLISECONDS = Field("ms", Type.NUMBER, "Duration in milliseconds, to a tenth.", "0 and more", least=0)
ENGINE_ENTRY = (
    _ENGINE,
    _OUTCOME,
    replace(_SERVER, meaning="The server that answered; empty if none did."),
    _MILLISECONDS,
    replace(_SIGNATURE, null=False, optional=True),
    replace(_REASON, null=False, optional=True),
    Field("detail", Type.TEXT, "The original text of the engine or the system.", _ANY, optional=True),
    Field("score", Type.NUMBER, "The score that an anti-spam engine gave the message.", "-1e6 to 1e6", optional=True),
    Field(
        "threshold",
        Type.NUMBER,
        "The score with which it compares: spamd's for spam, rspamd's for a rejection.",
        "-1e6 to 1e6",
        optional=True,
    ),
    Field("advice", Type.TEXT, "The action that it proposes.", values=tuple(SpamAction), optional=True),
    Field(
        "symbols",
        Type.TEXTS,
        "Its rules that matched; with rspamd those with the greatest effect first.",
        f"{SYMBOLS_SHOWN} texts",
        most=SYMBOLS_SHOWN,
        optional=True,
    ),
)
DECISION_ENTRY = (
    Field(
        "recipients",
        Type.TEXTS,
        "The first recipients of the group.",
        f"{RECIPIENTS_SHOWN} texts in all groups",
        most=RECIPIENTS_SHOWN,
    ),
    Field("recipients_count", Type.INTEGER, "The number of its recipients.", "1 and more", least=1),
    Field("rule", Type.TEXT, "The rule that decided for them.", _ANY),
    Field("action", Type.TEXT, "What miltscan did for them.", values=tuple(ActionName)),
    Field("area", Type.TEXT, "The area of the quarantine that keeps their mail.", _ANY, null=True),
    Field("entry", Type.TEXT, "ID of the entry in the quarantine.", "20 characters", null=True),
    Field("delivery", Type.TEXT, "The queue ID that the delivery sendmail gave their copy; else empty.", _ANY),
    Field("refusal", Type.TEXT, "Why the delivery sendmail did not accept their copy; else empty.", _ANY),
)
_MESSAGE = (
    Field("queue_id", Type.TEXT, "The MTA's queue ID, by which sendmail's own log lines can be found.", _ANY),
    Field("message_id", Type.TEXT, "The Message-ID header; empty if there is none.", _ANY),
    Field(
        "client_address",
        Type.TEXT,
        "IP address of the SMTP client; `local` for a program on this host; `unknown`.",
        _ANY,
    ),
    Field("client_name", Type.TEXT, "Host name of the client, as the MTA found it.", _ANY),
    Field("sender", Type.TEXT, "The envelope sender.", _ANY),
    Field(
        "recipients",
        Type.TEXTS,
        "The first envelope recipients.",
        f"{RECIPIENTS_SHOWN} texts",
        most=RECIPIENTS_SHOWN,
    ),
    Field("recipients_count", Type.INTEGER, "The number of all envelope recipients.", "0 and more", least=0),
    Field("direction", Type.TEXT, "The direction of the message.", values=tuple(Direction)),
    Field("size", Type.INTEGER, "Size of the message in bytes.", "0 and more", least=0),
    replace(_OUTCOME, meaning="The outcome of the verdict that decided."),
    _REASON,
    _SIGNATURE,
    Field(
        "unscanned_by",
        Type.TEXTS,
        "Optional engines that did not scan the whole message; `outcome` is that of the required engines.",
        "names of engines",
    ),
    Field(
        "receipt",
        Type.TEXT,
        "Result of the receipt check at the delivery side (receipt.md); null elsewhere.",
        values=tuple(ReceiptResult),
        null=True,
    ),
    Field(
        "list",
        Type.TEXT,
        "ID of the entry of the allow or deny list that applied (lists.md); `rule` is `list.deny` where it was denied.",
        "8 characters",
        null=True,
    ),
    Field(
        "rule",
        Type.TEXT,
        "The rule that decided: the name of a `[[rule]]`, a key of `[policy]`, "
        "`engine.NAME.on_error`, `list.deny`, `clean`, `receipt`, `probe`, "
        "`exception`, `mta-gone`, `quarantine` (the message could not be stored), `handover` (a copy could not be "
        "handed over).",
        _ANY,
    ),
    Field("action", Type.TEXT, "What miltscan did with the message.", values=tuple(ActionName)),
    Field("area", Type.TEXT, "The area of the quarantine that was to keep the message.", _ANY, null=True),
    Field("entry", Type.TEXT, "ID of the entry in the quarantine.", "20 characters", null=True),
    Field(
        "reply",
        Type.TEXT,
        "miltscan's SMTP reply; null where the client receives the MTA's own 250.",
        "one line, printable ASCII",
        null=True,
    ),
    Field(
        "decisions",
        Type.OBJECTS,
        "Where recipients have different decisions, an entry for each of the first ones: see below. `action`, `rule` "
        "and `reply` are then those of the message that the MTA has.",
        f"{DECISIONS_SHOWN} entries",
        most=DECISIONS_SHOWN,
        parts=DECISION_ENTRY,
    ),
    Field("decisions_count", Type.INTEGER, "The number of all these decisions.", "0 and more", least=0),
    Field(
        "observed",
        Type.TEXTS,
        "Rules with `enforce = false` that would have decided, had they been enforced.",
        "names of rules",
    ),
    Field(
        "facts",
        Type.TEXTS,
        "Further facts that conditions of rules read: `user=`, `tls=`, `daemon=`, `header=NAME:VALUE` (without a colon "
        "if the message has no such header), `attachment=TYPE:NAME` for the first ones, and `attachments=NUMBER` if "
        "these are all with all of their names, `depth=NUMBER`. `miltscan policy replay` reads them.",
        "facts that rules read",
    ),
    Field(
        "part",
        Type.TEXT,
        "The part of the message that the verdict is about, such as `2.1` for the first part of the second one "
        "(docs/detection.md).",
        "paths of parts",
        null=True,
    ),
    Field(
        "reading",
        Type.TEXT,
        "How mail programs read the structure of the message: all alike (`sampled`: its parts were scanned all the "
        "same; `missed`: and one was worse than the whole message), or in several ways.",
        values=tuple(Agreement),
        null=True,
    ),
    Field(
        "anomalies",
        Type.TEXTS,
        "What is odd about the structure of the message: docs/detection.md.",
        "names of anomalies",
    ),
    Field("parts_scanned", Type.INTEGER, "Parts that were scanned by themselves.", "0 and more", least=0),
    Field(
        "engines",
        Type.OBJECTS,
        "An entry for each engine that scanned: see below.",
        "the configured engines",
        parts=ENGINE_ENTRY,
    ),
    Field("waited_ms", Type.NUMBER, "Time spent waiting for a scan slot, in milliseconds.", "0 and more", least=0),
    Field("total_ms", Type.NUMBER, "Time from EOM to the decision, in milliseconds.", "0 and more", least=0),
    _WORKER,
)

_RELEASE = (
    Field("queue_id", Type.TEXT, "The queue ID that the incoming sendmail gave the message.", _ANY),
    Field("entry", Type.TEXT, "The ID of the entry in the quarantine.", "20 characters"),
    Field("area", Type.TEXT, "The area of the quarantine.", "names of areas"),
    Field("sender", Type.TEXT, "The envelope sender.", _ANY),
    Field(
        "recipients",
        Type.TEXTS,
        "The first recipients that this line is about; with `--to` the other address.",
        f"{RECIPIENTS_SHOWN} texts",
        most=RECIPIENTS_SHOWN,
    ),
    Field("recipients_count", Type.INTEGER, "The number of all these recipients.", "1 and more", least=1),
    Field("delivery", Type.TEXT, "The queue ID that the delivery sendmail gave the message.", _ANY),
    Field("reply", Type.TEXT, "The reply of the delivery sendmail, or why there was none.", "500 characters"),
    Field("by", Type.TEXT, "Who did it: a login name, or `keeper`.", _ANY),
    Field("reason", Type.TEXT, "The reason that was given; empty if none was.", _ANY),
)
QUARANTINE_EVENTS = (
    Event(
        "released",
        ("info",),
        "A message left the quarantine: the delivery sendmail has it. One line for each queue ID there. A command "
        "writes this event and the next two to syslog (facility mail), the keeper to this log.",
        _RELEASE,
    ),
    Event(
        "release_failed",
        ("warning",),
        "The delivery sendmail did not accept a message for some recipients, who stay in the quarantine. One line for "
        "each reply.",
        tuple(field for field in _RELEASE if field.name != "delivery"),
    ),
    Event(
        "entry_deleted",
        ("info",),
        "A message was deleted from the quarantine.",
        tuple(field for field in _RELEASE if field.name in {"queue_id", "entry", "area", "by", "reason"}),
    ),
)
"""What `quarantine/audit.py` writes."""
_HOLD = (
    Field("queue_id", Type.TEXT, "The queue ID of the message at the sendmail that held it.", _ANY),
    Field("sender", Type.TEXT, "The envelope sender.", _ANY),
    Field("reason", Type.TEXT, "Why it was held.", _ANY),
    Field("by", Type.TEXT, "Who did it: a login name.", _ANY),
)
HOLD_EVENTS = (
    Event(
        "held_released",
        ("info",),
        "`miltscan hold release` delivered a message that sendmail held; sendmail's own lines are before it. A "
        "command writes this event and the next one to syslog (facility mail).",
        _HOLD,
    ),
    Event("held_deleted", ("info",), "`miltscan hold delete` deleted a message that sendmail held.", _HOLD),
)
"""What `commands/hold.py` writes."""

_SOURCE = Field("source", Type.TEXT, "The source as the rule names it, or the place of the access map.", _ANY)
_LIST_FILE = Field("file", Type.TEXT, "The file of the lists: `lists.file`.", _ANY)
_LIST_ENTRY = (
    Field("id", Type.TEXT, "The ID of the entry.", "8 characters"),
    Field("list", Type.TEXT, "Which list.", values=tuple(ListName)),
    Field("what", Type.TEXT, "What the entry names.", _ANY),
)
_LIST_CHANGE = (
    *_LIST_ENTRY,
    Field("until", Type.TEXT, "When it expires, in the local time; empty if it does not.", "19 characters"),
    Field("by", Type.TEXT, "Who did it: a login name.", _ANY),
    Field("reason", Type.TEXT, "The reason that was given.", _ANY),
)
LIST_EVENTS = (
    Event(
        "list_added",
        ("info",),
        "An entry was added to the allow or deny list. A command writes this event and the next one to syslog "
        "(facility mail).",
        _LIST_CHANGE,
    ),
    Event("list_removed", ("info",), "An entry was removed from the allow or deny list.", _LIST_CHANGE),
)
"""What `commands/lists_common.py` writes."""
_MESSAGE_FIELD = {field.name: field for field in _MESSAGE}

EVENTS = (
    Event(
        "message",
        ("info", "warning"),
        "A message was decided. It is a warning if the message was not scanned completely or was tempfailed.",
        _MESSAGE,
    ),
    Event(
        "probe_message",
        ("info", "warning"),
        "A probe was scanned like a message, and then rejected with the proof of its scan. It has no line `message`.",
        (*_MESSAGE, replace(_PROBE, name="probe")),
    ),
    Event(
        "recipient_refused",
        ("info",),
        "A rule refused a recipient at RCPT, before the message: the MTA drops this recipient, and the line `message` "
        "does not name it.",
        (
            *(_MESSAGE_FIELD[name] for name in ("queue_id", "client_address", "client_name", "sender")),
            Field("recipient", Type.TEXT, "The recipient in RCPT.", _ANY),
            replace(_MESSAGE_FIELD["direction"], meaning="The direction, if there is no other recipient."),
            Field("rule", Type.TEXT, "The rule.", _ANY),
            Field("reply", Type.TEXT, "The SMTP reply to RCPT.", _ANY),
            _MESSAGE_FIELD["observed"],
            _MESSAGE_FIELD["facts"],
            _WORKER,
        ),
    ),
    Event(
        "store_fails",
        ("error",),
        "A message could not be stored in the quarantine; its client received a tempfail and sends it again.",
        (
            Field("queue_id", Type.TEXT, "The MTA's queue ID of the message.", _ANY),
            Field("area", Type.TEXT, "The area of the quarantine.", _ANY),
            Field("why", Type.TEXT, "The text of the system, with the path.", _ANY),
            _WORKER,
        ),
    ),
    Event(
        "copy_fails",
        ("error",),
        "A copy of a message for some recipients could not be handed over; its client received a tempfail and sends it "
        "again.",
        (
            Field("queue_id", Type.TEXT, "The MTA's queue ID of the message.", _ANY),
            Field("why", Type.TEXT, "The reply of the delivery sendmail, or why there was none.", _ANY),
            _WORKER,
        ),
    ),
    Event(
        "shadow_differs",
        ("info",),
        "The candidate of `run --shadow` would have decided otherwise.",
        (
            Field("queue_id", Type.TEXT, "The MTA's queue ID.", _ANY),
            Field("rule", Type.TEXT, "The rule that decided.", _ANY),
            Field("action", Type.TEXT, "What miltscan did.", values=tuple(ActionName)),
            Field("shadow_rule", Type.TEXT, "The rule of the candidate.", _ANY),
            Field("shadow_action", Type.TEXT, "What the candidate would do.", values=tuple(ActionName)),
            Field("recipients_count", Type.INTEGER, "For how many recipients.", "1 and more", least=1),
            _WORKER,
        ),
    ),
    Event(
        "shadow_failed",
        ("error",),
        "The file of `run --shadow` has mistakes, and its former content is used.",
        (Field("why", Type.TEXTS, "The mistakes.", "lines"),),
    ),
    Event(
        "source_read",
        ("info",),
        "A worker has read a file or map that rules name, which has changed.",
        (_SOURCE, _WORKER),
    ),
    Event(
        "source_fails",
        ("error",),
        "A file or map that rules name has vanished or cannot be used; its last content stays in force.",
        (_SOURCE, _WHY, _WORKER),
    ),
    Event(
        "lists_read",
        ("info",),
        "A worker has read the allow and deny lists, which have changed.",
        (
            _LIST_FILE,
            Field("allow", Type.INTEGER, "Entries of the allow list.", "0 and more", least=0),
            Field("deny", Type.INTEGER, "Entries of the deny list.", "0 and more", least=0),
            _WORKER,
        ),
    ),
    Event(
        "lists_fail",
        ("error",),
        "The file of the lists has vanished or cannot be used; the last lists stay in force.",
        (_LIST_FILE, _WHY, _WORKER),
    ),
    Event(
        "lists_broken",
        ("error",),
        "Lines of the file of the lists cannot be read and are skipped.",
        (
            _LIST_FILE,
            Field("number", Type.INTEGER, "How many new ones.", "1 and more", least=1),
            Field("lines", Type.TEXT, "The numbers of the first of these lines.", "20 numbers"),
            _WORKER,
        ),
    ),
    Event(
        "list_expired",
        ("info",),
        "An entry of the allow or deny list has expired. One worker writes it, also to the file.",
        (*_LIST_ENTRY, _WORKER),
    ),
    Event(
        "probe_works",
        ("info",),
        "A probe passed through the incoming sendmail. Logged at the start and after a failure.",
        (_PROBE, _PROBE_REPLY),
    ),
    Event(
        "probe_fails",
        ("error",),
        "The reply to a probe did not contain the proof of its scan.",
        (_PROBE, _WHY, _PROBE_REPLY),
    ),
    Event("probe_off", ("error",), "No probe is sent because a reload removed the key that signs probes.", (_WHY,)),
    Event(
        "start",
        ("info",),
        "The service starts.",
        (
            Field("version", Type.TEXT, "miltscan's version.", _ANY),
            Field("socket", Type.TEXT, "The milter socket.", _ANY),
        ),
    ),
    Event(
        "ready",
        ("info",),
        "Every worker accepts mail.",
        (Field("workers", Type.INTEGER, "The number of workers.", "1 to 128", least=1, most=128),),
    ),
    Event(
        "stop",
        ("info",),
        "The service has ended.",
        (Field("status", Type.INTEGER, "The exit status.", "0 or 1", least=0, most=1),),
    ),
    Event("start_failed", ("error",), "A process could not start because of its surroundings.", (_CHILD, _WHY)),
    Event(
        "reload",
        ("info",),
        "The configuration was read again.",
        (Field("needs_restart", Type.TEXTS, "Changed keys that take effect only at the next start.", "keys"),),
    ),
    Event("reloaded", ("info",), "A worker uses that configuration, from the next MAIL on.", (_WORKER,)),
    Event(
        "reload_failed",
        ("error",),
        "The configuration has a mistake; the former one stays in force.",
        (Field("why", Type.TEXTS, "A text for each mistake.", "mistakes of the file"),),
    ),
    Event("tracing_off", ("error",), "Tracing is configured, but its packages are missing.", (_WHY,)),
    Event("tracing_works", ("info",), "The collector accepts traces. Logged on a change.", (_ENDPOINT,)),
    Event(
        "tracing_fails", ("warning",), "The collector does not accept traces. Logged on a change.", (_ENDPOINT, _WHY)
    ),
    Event(
        "log_lines_lost",
        ("error",),
        "Log lines of this process could not be written; they are missing before this line.",
        (Field("lines", Type.INTEGER, "The number of missing lines.", "1 and more", least=1),),
    ),
    Event(
        "metrics_in_memory",
        ("error",),
        "`exporter.directory` is full or gone: counts stay in memory until it can be written. Logged on a change.",
        (_WHY,),
    ),
    Event("metrics_on_disk", ("info",), "The counts are in `exporter.directory` again. Logged on a change."),
    Event("child_ended", ("info",), "A process ended while the service is stopping.", (_CHILD, _ENDED)),
    Event(
        "sessions_full",
        ("error",),
        "Half of the file descriptors of a worker are in use, so it accepts no more sessions until some end. While no "
        "worker accepts, new connections are closed. Logged once a minute.",
        (_WORKER, Field("limit", Type.INTEGER, "Limit on the file descriptors of a worker.", "0 and more", least=0)),
    ),
    Event(
        "child_hangs",
        ("error",),
        "A process gives no sign of life, and miltscan kills it; `child_died` follows. `worker` is present if the "
        "worker itself noticed it.",
        (_CHILD, _WHY, replace(_WORKER, optional=True)),
    ),
    Event(
        "child_died",
        ("error",),
        "A process died and will be replaced.",
        (
            _CHILD,
            _ENDED,
            Field("respawn_after", Type.NUMBER, "Seconds until it is replaced.", "0 to 30", least=0, most=30),
        ),
    ),
    Event(
        "exception",
        ("error",),
        "A bug of miltscan.",
        (
            Field(
                "where",
                Type.TEXT,
                "`eom`: the message was tempfailed; `connect`: the session was refused; `receipt`: the message was "
                "scanned, or its second scan failed and it passed with its receipt; `report`: after the reply, the "
                "line or the counts of the message are missing; `measure`: in the exporter, at queues and disk; "
                "`probe`: in the prober, or at a probe that was rejected or treated as ordinary mail; `keeper`: in the "
                "keeper, which tries the work again.",
                values=tuple(Place),
            ),
            *_BUG,
            replace(_WORKER, optional=True),
        ),
    ),
    Event("child_failed", ("error",), "A bug of miltscan that ends a process.", (_CHILD, *_BUG)),
    Event(
        "engine_up",
        ("info",),
        "A server of an engine can be used. Logged at the start and on a change.",
        (_ENGINE, _SERVER, _WHY, _WORKER),
    ),
    Event(
        "engine_degraded",
        ("error",),
        "A server of an engine had no room to unpack a message: its temporary folder is full, too small or gone.",
        (_ENGINE, _SERVER, _WHY, _WORKER),
    ),
    Event(
        "engine_restored",
        ("info",),
        "A degraded server of an engine had room for every message for a minute.",
        (_ENGINE, _SERVER, _WORKER),
    ),
    Event(
        "engine_unwatched",
        ("info",),
        "miltscan cannot see the temporary folder of a server: only self-tests show whether it has room. Logged once.",
        (_ENGINE, _SERVER, _WHY, _WORKER),
    ),
    Event(
        "engine_down",
        ("error",),
        "A server of an engine is not used until it passes its self-test.",
        (_ENGINE, _SERVER, _WHY, _WORKER),
    ),
    Event(
        "engine_fault",
        ("debug",),
        "One exchange with a server failed; another server may have answered.",
        (
            _ENGINE,
            _SERVER,
            Field("reason", Type.TEXT, "The fault.", values=tuple(Fault)),
            Field("detail", Type.TEXT, "The original text of the engine or the system.", _ANY),
            _WORKER,
        ),
    ),
    Event(
        "access_failed",
        ("error",),
        "The exporter cannot use its files (certificate, users, tokens); the former access stays in force.",
        (Field("why", Type.TEXTS, "A text for each fault.", "faults of the files"),),
    ),
    Event(
        "http_refused",
        ("debug", "warning"),
        "The exporter refused a connection or a request. The level is warning for the first one of a peer with the "
        "reason `host`: it may be Prometheus, which shows only the status 421.",
        (
            Field(
                "reason", Type.TEXT, "The reason, as in the label of `miltscan_http_refused_total`.", values=_REFUSALS
            ),
            Field("peer", Type.TEXT, "Address of the peer.", _ANY),
        ),
    ),
    Event(
        "socket_lost",
        ("error",),
        "The file of a socket for MTAs was removed, moved or replaced. miltscan binds it again; a socket that the "
        "service manager opened ends the service instead.",
        (_SOCKET, _ADDRESS, _WHY),
    ),
    Event("socket_bound", ("info",), "A socket that was lost can be reached again.", (_SOCKET, _ADDRESS)),
    Event(
        "keeper_waits",
        ("info",),
        "The keeper of another service works on this quarantine; this one takes over when that ends. Logged once.",
        (
            Field("folder", Type.TEXT, "The folder of the quarantine.", _ANY),
            Field("pid", Type.TEXT, "The process that holds the lock; empty if it is unknown.", "digits"),
        ),
    ),
    Event(
        "keeper_fails",
        ("error",),
        "Work of the keeper fails: the folder or the index cannot be used. It tries again; no message is lost. Logged "
        "on a change.",
        (_WORK, _WHY),
    ),
    Event("keeper_works", ("info",), "Work of the keeper that failed succeeds again.", (_WORK,)),
    Event(
        "store_warning",
        ("warning",),
        "The keeper made the index again from the files, or found a file that it cannot read.",
        (_WHY,),
    ),
    Event(
        "release_impossible",
        ("warning",),
        "The keeper could not begin a release: the message is encrypted and `quarantine.identity` is not set, or its "
        "file is damaged.",
        (_ENTRY, _WHY),
    ),
    Event(
        "mail_sent",
        ("info",),
        "The delivery sendmail has a notice, a summary, or the notice of a late detection.",
        _MAIL,
    ),
    Event(
        "mail_failed",
        ("warning",),
        "A notice, a summary or the notice of a late detection was not sent. It is tried again only if it was refused.",
        (
            *_MAIL,
            Field(
                "result",
                Type.TEXT,
                "`refused`; `doubtful`: it may have been sent; `dropped`: no longer news: the summary has it.",
                values=("refused", "doubtful", "dropped"),
            ),
        ),
    ),
    Event(
        "detected_late",
        ("warning",),
        "What an engine detects now was in messages that were delivered before. Logged once a day for a digest. A line "
        "`delivered_before` for each of the first 100 messages follows.",
        (
            Field("queue_id", Type.TEXT, "The MTA's queue ID of the message in which it was detected.", _ANY),
            replace(_SIGNATURE, null=False),
            _DIGEST,
            Field("messages", Type.INTEGER, "How many messages had it before.", "1 and more", least=1),
        ),
    ),
    Event(
        "delivered_before",
        ("warning",),
        "A message that was accepted and had what is detected now.",
        (
            replace(_ARRIVED_AS, meaning="The MTA's queue ID of that message."),
            Field("delivered", Type.TEXT, "When it was accepted, in UTC.", "ISO 8601"),
            Field("client_address", Type.TEXT, "Address of the SMTP client.", _ANY),
            Field("sender", Type.TEXT, "Its sender.", _ANY),
            Field("recipients", Type.TEXTS, "The first of those who received it.", _ANY, most=RECIPIENTS_SHOWN),
            Field("recipients_count", Type.INTEGER, "How many received it.", "1 and more", least=1),
            replace(_SIGNATURE, null=False),
            _DIGEST,
        ),
    ),
    Event(
        "archive_expired",
        ("info",),
        "Days of the archive of digests were removed.",
        (Field("days", Type.TEXTS, "The days, in UTC.", "dates", most=100),),
    ),
    Event("template_broken", ("error",), "A template of the site cannot be used; miltscan uses its own.", (_WHY,)),
    Event(
        "entry_cleared",
        ("info",),
        "A rescan found nothing any more in a message of the quarantine.",
        (_ARRIVED_AS, _ENTRY, _AREA, replace(_SIGNATURE, meaning="The signature that was detected before.")),
    ),
    Event(
        "rescanned",
        ("info",),
        "Messages of the quarantine were scanned again after an update of the signatures.",
        (
            Field("signatures", Type.INTEGER, "The version of the signature database.", "0 and more", least=0),
            *(
                Field(str(result), Type.INTEGER, f"How many {meaning}.", "0 and more", least=0)
                for result, meaning in _RESCANS.items()
            ),
        ),
    ),
    Event(
        "rescan_skipped",
        ("debug",),
        "A message of the quarantine could not be scanned again now: it is encrypted, damaged, or being released.",
        (_ENTRY, _WHY),
    ),
    Event(
        "peer_refused",
        ("warning",),
        "A host that is not in `milter.allow` connected to a TCP socket for MTAs; its connection was closed. Logged "
        "once for each host and worker.",
        (Field("peer", Type.TEXT, "Address of the host.", _ANY), _WORKER),
    ),
    Event(
        "filter_off",
        ("info",),
        "The kernel accepts no filter for `milter.allow` from this user; the workers check each connection anyway. "
        "Logged at the start.",
        (_SOCKET, _WHY),
    ),
    Event(
        "queue_unreadable",
        ("warning",),
        "A queue of sendmail cannot be read, so its metrics are missing. Logged once.",
        (
            _QUEUE,
            Field("folder", Type.TEXT, "The folder of the queue.", _ANY),
            Field("why", Type.TEXT, "The error of the system.", _ANY),
        ),
    ),
    Event("queue_readable", ("info",), "A queue of sendmail can be read again.", (_QUEUE,)),
    Event(
        "signatures",
        ("info",),
        "A server uses another signature database than before.",
        (
            _ENGINE,
            _SERVER,
            Field("version", Type.INTEGER, "Its version.", "0 and more", least=0),
            Field("published", Type.NUMBER, "Time of its publication, in seconds since 1970.", "0 and more", least=0),
            _WORKER,
        ),
    ),
    *QUARANTINE_EVENTS,
    *HOLD_EVENTS,
    *LIST_EVENTS,
)
