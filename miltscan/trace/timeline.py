"""A trace, and an explained line, as text for a person and as fields for a program. It prints nothing itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from miltscan.sandwich.logline import EventKind, LogEvent, addresses, entry_of, handoff_id, is_refused
from miltscan.trace.explain import LinePart
from miltscan.trace.follow import Trace
from miltscan.trace.recipients import Recipient

_CLEAN_RULE = "clean"
_SHOWN = 5
"""Recipients of one line; the list at the end has all of them."""


def as_text(trace: Trace) -> str:
    """Several lines, without a line feed after the last."""
    message_id = trace.message_id or "(no Message-ID in these logs)"
    entry = f", entry {trace.entry}" if trace.entry else ""
    heading = [f"Message {message_id}: {trace.status}{entry}", f"Queue IDs: {' -> '.join(trace.queue_ids)}"]
    if trace.notice_ids:
        heading.append(f"Notices about it: {', '.join(trace.notice_ids)}")
    if not trace.is_by_time:
        heading.append("The times of these lines disagree: they are in the order of cause and effect.")
    tables = _recipients("Recipients", trace.recipients), _recipients("Recipients of notices", trace.notices)
    return "\n".join([*heading, "", *_timeline(trace), *tables[0], *tables[1], *_advice(trace)])


def _advice(trace: Trace) -> Iterator[str]:
    """The command that explains the decision, where a rule or the policy made one that somebody may ask about."""
    for event in trace.events:
        if event.get("event") == "message" and event.queue_id and event.get("rule") not in {None, _CLEAN_RULE}:
            yield f"\nWhy it was decided so: miltscan policy explain {event.queue_id}"
            return


def trace_fields(trace: Trace) -> dict[str, object]:
    """What `--json` prints; docs/trace.md documents it."""
    events = [
        {
            "time": _iso(event),
            "host": event.host,
            "program": event.program,
            "pid": event.pid,
            "queue_id": event.queue_id,
            "kind": event.kind,
            "handed_over_as": handoff_id(event),
            "fields": event.fields,
            "text": event.text,
        }
        for event in trace.events
    ]
    heading = {
        "message_id": trace.message_id,
        "status": trace.status,
        "entry": trace.entry,
        "queue_ids": trace.queue_ids,
        "notice_ids": trace.notice_ids,
    }
    recipients = [_recipient_fields(one) for one in trace.recipients]
    notices = [_recipient_fields(one) for one in trace.notices]
    return {**heading, "recipients": recipients, "notices": notices, "events": events}


def _recipient_fields(one: Recipient) -> dict[str, object]:
    known = {"recipient": one.address, "status": one.status, "attempts": one.attempts}
    named = {name: one.last.get(name) for name in ("dsn", "stat", "delay", "xdelay", "relay", "mailer")}
    return known | {"queue_id": one.last.queue_id, "time": _iso(one.last)} | named


def explained_as_text(parts: Sequence[LinePart]) -> str:
    """Two lines for each part: name and value, and the meaning."""
    width = max(len(part.name) for part in parts)
    indent = " " * (width + 2)
    return "\n".join(f"{part.name:{width}}  {part.value}\n{indent}  {part.meaning}" for part in parts)


def explained_as_fields(parts: Sequence[LinePart]) -> dict[str, dict[str, str]]:
    """What `--explain --json` prints."""
    return {part.name: {"value": part.value, "meaning": part.meaning} for part in parts}


def _iso(event: LogEvent) -> str | None:
    return event.time.isoformat() if event.time else None


def _timeline(trace: Trace) -> Iterator[str]:
    names = max(len(event.program or "-") for event in trace.events)
    ids = max(len(event.queue_id or "") for event in trace.events)
    for event in trace.events:
        time = event.time.astimezone().strftime("%Y-%m-%d %H:%M:%S") if event.time else "-" * 19
        head = f"{time}  {event.program or '-':{names}}  {event.queue_id:{ids}}  "
        first, *others = _lines(event)
        yield head + first
        yield from (" " * len(head) + one for one in others)


def _lines(event: LogEvent) -> Iterator[str]:
    """The text of one event, a sentence or two."""
    match event.kind:
        case EventKind.ENVELOPE:
            facts = [
                f"from {event.get('from')}",
                f"client {event.get('relay')}",
                f"{event.get('size')} bytes",
                f"recipients {event.get('nrcpts')}",
                *(event.get(name) or "" for name in ("proto", "bodytype")),
            ]
            yield "receives " + ", ".join(fact for fact in facts if fact)
        case EventKind.SCAN if event.get("event") in {"message", "probe_message"}:
            yield from _scan(event.fields)
        case EventKind.SCAN if is_refused(event):
            client = f"{event.get('client_name')} [{event.get('client_address')}]"
            yield f"refuses {event.get('recipient')} at RCPT, from {event.get('sender')}, client {client}"
            yield f"by rule {event.get('rule')}: {event.get('reply')}"
        case EventKind.QUARANTINE:
            yield from _quarantine(event)
        case EventKind.DELIVERY:
            to, handoff = addresses(event), handoff_id(event)
            result = f"handed over as {handoff}" if handoff else event.get("stat") or event.text
            yield f"to {_some(to, len(to))}: {result}"
            values = [(name, event.get(name)) for name in ("dsn", "delay", "xdelay", "mailer", "relay", "reply")]
            yield ", ".join(f"{name} {value}" for name, value in values if value)
        case _:
            yield event.text


def _scan(fields: Mapping[str, object]) -> Iterator[str]:
    """Our own line; in a log that was changed, any of its fields may be missing or have another type."""
    yield f"scans {fields.get('size')} bytes from client {fields.get('client_name')} [{fields.get('client_address')}]"
    to = _some(_list(fields.get("recipients")), fields.get("recipients_count"))
    yield f"envelope: {fields.get('sender')} to {to}"
    for engine in _list(fields.get("engines")):
        if isinstance(engine, dict):
            given = [engine.get(name) for name in ("outcome", "signature", "reason", "detail")]
            verdict = ", ".join(str(one) for one in given if one)
            yield f"engine {engine.get('engine')}: {verdict} ({engine.get('ms')} ms, {engine.get('server')})"
    if fields.get("receipt"):
        yield f"receipt: {fields.get('receipt')}"
    found = [fields.get(name) for name in ("outcome", "signature", "reason")]
    yield f"verdict: {', '.join(str(one) for one in found if one)}"
    if fields.get("list"):
        yield f"lists: entry {fields.get('list')} applied (miltscan lists)"
    yield f"decision: {fields.get('action')}, by rule {fields.get('rule')}"
    for one in _list(fields.get("decisions")):
        if isinstance(one, dict):
            yield _decision(one)
    if fields.get("entry"):
        yield f"in the quarantine: area {fields.get('area')}, entry {fields.get('entry')}"
    yield f"reply: {fields.get('reply') or 'the 250 of sendmail'} (after {fields.get('total_ms')} ms)"


def _decision(fields: Mapping[str, object]) -> str:
    """The decision for a group of recipients."""
    to = _some(_list(fields.get("recipients")), fields.get("recipients_count"))
    facts = [f"for {to}: {fields.get('action')}, by rule {fields.get('rule')}"]
    if fields.get("delivery"):
        facts.append(f"copy handed over as {fields.get('delivery')}")
    if fields.get("refusal"):
        facts.append(f"copy not accepted: {fields.get('refusal')}")
    if fields.get("entry"):
        facts.append(f"in the quarantine: area {fields.get('area')}, entry {fields.get('entry')}")
    return "; ".join(facts)


def _quarantine(event: LogEvent) -> Iterator[str]:
    """What was done with an entry; as in the line of a scan, any field may be missing."""
    to = _some(addresses(event), event.get("recipients_count"))
    match event.get("event"):
        case "released":
            yield f"releases entry {event.get('entry')} to {to}: handed over as {handoff_id(event)}"
        case "release_failed":
            yield f"cannot release entry {event.get('entry')} to {to}"
        case "held_released":
            yield "the held message was released"
        case "held_deleted":
            yield "the held message was deleted"
        case _:
            yield f"deletes entry {event.get('entry')}"
    values = [(name, event.get(name)) for name in ("by", "reason", "reply")]
    yield ", ".join(f"{name} {value}" for name, value in values if value)


def _recipients(title: str, recipients: Sequence[Recipient]) -> Iterator[str]:
    if recipients:
        yield ""
        yield f"{title}:"
    for one in recipients:
        handoff = handoff_id(one.last)
        facts = [f"{name} {value}" for name in ("dsn", "delay") if (value := one.last.get(name))]
        facts.append(f"{one.attempts} attempt{'' if one.attempts == 1 else 's'}")
        kept = one.last.get("reply") or entry_of(one.last)
        result = f"as {handoff}" if handoff else one.last.get("stat") or kept or ""
        yield f"  {one.address}  {one.status}: {result} ({', '.join(facts)})"


def _some(values: Iterable[object], count: object) -> str:
    """The first few values, and how many there are if that is not all."""
    texts = [str(value) for value in values]
    more = f" and others, {count} in total" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
