"""Parses one line of a mail log, as sendmail 8.14 to 8.18 and miltscan write it, into an event. It reads no file.

    Nov 22 16:04:15 mx incoming[1849]: 6AMG4FAU001849: from=<a@example.org>, size=134, class=0, nrcpts=1, ...
    2026-11-22T16:04:15.852014+00:00 mx sm-mta[1849]: 6AMG4FAU001849: to=<b@example.test>, delay=00:00:00, ...
    {"timestamp":"2026-11-22T16:04:15.852+00:00","event":"message","queue_id":"6AMG4FAU001849", ...}

logforms.py has the forms of the head. Clients and remote servers
choose much of a line. So a value in angle brackets is one unit, regardless of its content. A field that sendmail
writes after such a text (`relay` after `msgid`) is taken from its last place, one that it writes before (`dsn` before
`stat`) from its first. Every text of an event is printable.
"""

import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, time, timedelta
from enum import StrEnum

from miltscan.core.text import readable
from miltscan.sandwich.logforms import QUEUE_ID, split_head

LINE_LIMIT = 65536  # bytes or characters of a line that are parsed: the journal's own limit is 48 KiB
_FIELDS_LIMIT = 8192  # characters of a line of fields: sendmail writes some 2,000, miltscan (in JSON) 4,095
_ACCEPTED = re.compile(rf"(?:\d\.\d\.\d )?({QUEUE_ID.pattern}) Message accepted")
_BASE60 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwx"
_TIMED_ID = re.compile(r"[0-9A-Za-x]{8}\d{6,}")
_YEARS_AHEAD = 30  # a queue ID of 1990 to 2049: it has no century

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ISO = re.compile(
    r"(?:[A-Z][a-z]{2} )?(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)([.,]\d+)? ?(?:(Z|[+-]\d\d:?\d\d)|([A-Z]{3,5}))?"
)
_CLOCKS_DIFFER = timedelta(days=1)
_CLASSIC = re.compile(r"(\d{4} )?([A-Z][a-z]{2}) ([ \d]\d) (\d{4} )?(.*)")
# sendmail/conf.c, sm_syslog: a text that is too long for syslog is logged in parts, the first as ID[1]: ... ...
_ID = re.compile(rf"(?P<id>{QUEUE_ID.pattern}|NOQUEUE)(?:\[(?P<part>\d{{1,3}})\])?: ")
_BEFORE_FIELDS = re.compile(r"(?:collect: |Milter(?: \([^)]*\))?: (?:[a-z]+, )?)")
_FIELD = re.compile(r"([A-Za-z]\w*)=")
_NEXT = re.compile(r", (?=[a-z]\w*=)")
# sendmail doubles each backslash of the address: \" is logged as \\" and does not end a quoted string
_QUOTED = r'"(?:[^"\\]|\\\\(?:\\\\|[^\\])|\\[^\\])*+"'
_BRACKETS = re.compile(rf"<(?:{_QUOTED}|[^\">])*+>|<[^>]*+>|{_QUOTED}")
_ADDRESS = re.compile(rf"(?:{_BRACKETS.pattern}|[<\"][^,\s]*+|[^,\s<\"]++)++")
_AFTER_MSGID = re.compile(r", (?=(?:(?:bodytype|proto|daemon|tls_verify|auth)=[^,=]*, )*relay=[^,]*$)")
_TO_THE_END = frozenset({"stat", "reject", "quarantine"})
_LAST_COUNTS = frozenset({"bodytype", "proto", "daemon", "tls_verify", "auth", "relay"})


class EventKind(StrEnum):
    """The type of a log line."""

    ENVELOPE = "envelope"  # from=: a sendmail has received the message
    SCAN = "scan"  # miltscan's own line
    QUARANTINE = "quarantine"  # what miltscan's keeper or a command did with a message in the quarantine, or a held one
    MILTER = "milter"  # what sendmail did on request of a milter
    RULESET = "ruleset"  # one of sendmail's own checks refused
    DELIVERY = "delivery"  # to=: an attempt for some recipients
    OTHER = "other"


_KINDS = {
    "from=": EventKind.ENVELOPE,
    "to=": EventKind.DELIVERY,
    "Milter": EventKind.MILTER,
    "milter=": EventKind.MILTER,
    "ruleset=": EventKind.RULESET,
}
"""The kind of sendmail's lines, by the beginning of their text."""
_OF_QUARANTINE = {"released", "release_failed", "entry_deleted", "held_released", "held_deleted"}  # events of miltscan


@dataclass(frozen=True, slots=True)
class LogEvent:
    """A parsed line; `text` is what follows the queue ID.

    `time` is in the time zone of the line, or the local one if the line names none. A time without a year has that of
    the queue ID, which contains it; without a queue ID it is the latest one that is not after `now`.
    """

    time: datetime | None
    host: str | None
    program: str | None
    pid: int | None
    queue_id: str | None
    kind: EventKind
    fields: Mapping[str, object]
    text: str

    def get(self, name: str) -> str | None:
        """A field's text; None if the line has no such field."""
        value = self.fields.get(name)
        return None if value is None else str(value)


def parse_line(line: bytes | str, now: datetime) -> LogEvent:
    """The event of any line; never raises. `now` (aware) dates a line without a year."""
    head = split_head(line, LINE_LIMIT)
    found = _ID.match(head.text)
    queue_id, part = (found["id"], int(found["part"] or 1)) if found else (None, 1)
    made = queue_id_time(queue_id or "")
    moment = _time(head.time, now, made if made and made - _CLOCKS_DIFFER <= now else None) if head.time else None
    if head.text.startswith("{") and (event := _miltscan_event(head.text, moment, head.host)):
        return event
    text = head.text[found.end() :] if found else head.text
    number = int(head.pid) if head.pid and head.pid.isdecimal() else None
    if part > 1:  # it begins anywhere in the text, perhaps within a value that the client chose
        return LogEvent(moment, head.host, head.program, number, queue_id, EventKind.OTHER, {}, text)
    kind = next((kind for start, kind in _KINDS.items() if text.startswith(start)), EventKind.OTHER)
    return LogEvent(moment, head.host, head.program, number, queue_id, kind, _fields(text[:_FIELDS_LIMIT]), text)


def queue_id_time(queue_id: str) -> datetime | None:
    """When sendmail made a queue ID; its clock is in UTC.

    Characters 1 to 6 are the time in base 60: year - 1900 (modulo 60), month from 0, day, hour, minute, second.
    """
    if not _TIMED_ID.fullmatch(queue_id):
        return None
    year, month, day, hour, minute, second = (_BASE60.index(character) for character in queue_id[:6])
    try:
        return datetime(
            (2020 if year < _YEARS_AHEAD else 1960) + year, month + 1, day, hour, minute, second, tzinfo=UTC
        )
    except ValueError:
        return None


def handoff_id(event: LogEvent) -> str | None:
    """The queue ID that the next sendmail gave the message, if this event is its handoff.

    The text is the other server's: a caller that follows it has to check that it is the same message. A release from
    the quarantine is a handoff, too.
    """
    if event.get("event") == "released" and event.kind is EventKind.QUARANTINE:
        delivery = event.get("delivery") or ""
        return delivery if QUEUE_ID.fullmatch(delivery) else None
    if event.kind is not EventKind.DELIVERY or not (event.get("dsn") or "").startswith("2."):
        return None
    stat = event.get("stat") or ""
    return accepted_as(stat.removeprefix("Sent (")) if stat.startswith("Sent (") else None


def accepted_as(reply: str) -> str | None:
    """The queue ID in a sendmail's reply to a message: `2.0.0 QUEUE_ID Message accepted for delivery`."""
    found = _ACCEPTED.match(reply)
    return found[1] if found else None


def entry_of(event: LogEvent) -> str | None:
    """The ID of an entry in the quarantine, in a line of miltscan."""
    return event.get("entry") if event.kind in {EventKind.SCAN, EventKind.QUARANTINE} else None


def decisions_in(event: LogEvent) -> list[LogEvent]:
    """An event `decision` for each group of recipients with a decision of its own, in miltscan's line about a message.

    A group with a copy is a delivery attempt, which the delivery sendmail has accepted.
    """
    given = event.fields.get("decisions")
    found = []
    for one in given if event.kind is EventKind.SCAN and isinstance(given, list) else ():
        if not isinstance(one, dict):
            continue
        fields, delivery = {**one, "event": "decision"}, str(one.get("delivery") or "")
        if QUEUE_ID.fullmatch(delivery) and one.get("action") != "redirect":
            fields |= {"dsn": "2.0.0", "stat": f"Sent ({delivery} Message accepted for delivery)"}
            found.append(replace(event, kind=EventKind.DELIVERY, fields=fields))
        else:
            found.append(replace(event, fields=fields))
    return found


def entries_of(event: LogEvent) -> list[str]:
    """The IDs of all entries in the quarantine that a line of miltscan names."""
    return [entry for one in (event, *decisions_in(event)) if (entry := entry_of(one))]


def addresses(event: LogEvent) -> list[str]:
    """The recipients of a delivery attempt, or those that a line of miltscan names."""
    named = event.fields.get("recipients")
    if isinstance(named, list):
        return [str(one) for one in named]
    if is_refused(event):
        return [event.get("recipient") or ""]
    return [found[0] for found in _ADDRESS.finditer(event.get("to") or "")]


def is_refused(event: LogEvent) -> bool:
    """Whether this is miltscan's line about a recipient that a rule refused at RCPT."""
    return event.kind is EventKind.SCAN and event.get("event") == "recipient_refused"


def _fields(text: str) -> dict[str, object]:
    """The `name=value` list of a line; the module's docstring explains which of two values counts."""
    fields: dict[str, object] = {}
    before = _BEFORE_FIELDS.match(text)
    position = before.end() if before else 0
    while name := _FIELD.match(text, position):
        end, following = _value_end(text, name[1], name.end())
        if name[1] not in fields or name[1] in _LAST_COUNTS:
            fields[name[1]] = text[name.end() : end].removesuffix(", [more]")
        if following is None:
            break
        position = following
    return fields


def _value_end(text: str, name: str, start: int) -> tuple[int, int | None]:
    """The end of the value that begins at `start`, and the begin of the next field (None after the last)."""
    # the text of a remote server, milter or ruleset, and then sendmail's own
    if name in {"reply", "quarantine"} and (end := text.rfind(", stat=", start)) >= 0:
        return end, end + 2
    if name in _TO_THE_END:
        return len(text), None
    while brackets := _BRACKETS.match(text, start):
        start = brackets.end() + text.startswith(",", brackets.end())
    following = (name == "msgid" and _AFTER_MSGID.search(text, start - 1)) or _NEXT.search(text, start - 1)
    return (following.start(), following.end()) if following else (len(text), None)


def _time(text: str, now: datetime, made: datetime | None) -> datetime | None:
    """The time of a line; without a year the first one after the queue ID was `made`, else the last one before `now`.

    Both allow a day, since clocks differ.
    """
    try:
        if not (found := _CLASSIC.match(text)):
            return _with_year(text)
        clock, month, day = time.fromisoformat(found[5]), _MONTHS.index(found[2]) + 1, int(found[3])
    except (ValueError, OverflowError):
        return None
    if year := found[1] or found[4]:
        years: Iterable[int] = [int(year)]
    elif made:
        years = range(made.year - 1, made.year + 2)
    else:
        years = range(now.year + 1, now.year - 5, -1)  # enough years to find a 29 February
    for one in years:
        with suppress(ValueError, OverflowError):
            moment = _aware(datetime.combine(date(one, month, day), clock))
            if year or (moment >= made - _CLOCKS_DIFFER if made else moment <= now + _CLOCKS_DIFFER):
                return moment
    return None


def _with_year(text: str) -> datetime | None:
    """A time in ISO form, for which journalctl has more spellings than Python, or in seconds since the epoch."""
    if text[:9].isdecimal():
        return datetime.fromtimestamp(float(text), UTC)
    if not (found := _ISO.fullmatch(text)):  # such as the time since the boot
        return None
    moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{(found[3] or '').replace(',', '.')}{found[4] or ''}")
    return moment.replace(tzinfo=UTC) if found[5] in {"UTC", "GMT"} else _aware(moment)


def _aware(moment: datetime) -> datetime:
    """The time with its time zone. Raises OverflowError at the ends of the calendar, where no sum is possible."""
    aware = moment if moment.tzinfo else moment.astimezone()
    if not MINYEAR < aware.astimezone(UTC).year < MAXYEAR:
        raise OverflowError
    return aware


def _miltscan_event(text: str, written: datetime | None, host: str | None) -> LogEvent | None:
    """The event of one of miltscan's JSON lines; None for any other text."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        return None
    fields = {readable(name): _printable(value) for name, value in fields.items()}
    queue_id = str(fields.get("queue_id") or "")
    named = queue_id if QUEUE_ID.fullmatch(queue_id) else None
    try:
        moment: datetime | None = _aware(datetime.fromisoformat(str(fields.get("timestamp"))))
    except (ValueError, OverflowError):
        moment = written
    kind = EventKind.QUARANTINE if fields["event"] in _OF_QUARANTINE else EventKind.SCAN
    return LogEvent(moment, host, "miltscan", None, named, kind, fields, text)


def _printable(value: object) -> object:
    """The value without control characters, for which JSON has escapes."""
    match value:
        case str():
            return readable(value)
        case dict():
            return {readable(name): _printable(item) for name, item in value.items()}
        case list():
            return [_printable(item) for item in value]
        case _:
            return value
