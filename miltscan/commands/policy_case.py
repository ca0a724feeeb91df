"""The message that `policy explain` is about: a stored file, a line of the log, an entry, or what options say of it."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import BinaryIO, NamedTuple, TypeVar

from miltscan.commands.policy_options import GivenScore
from miltscan.core.edits import Header
from miltscan.core.explained import OF_VERDICT, Case
from miltscan.core.facts import OF_FILTERS, OF_STRUCTURE, Facts, WeekTime
from miltscan.core.message import NO_CONTENT, Circumstances, Client, Direction, Envelope, Message, direction
from miltscan.core.noted import Noted, read_notes
from miltscan.core.released import parse_head
from miltscan.core.session import UNKNOWN_CLIENT
from miltscan.core.structure import Structure
from miltscan.core.verdict import Advice, Fault, Limit, Outcome, SpamAction, Verdict
from miltscan.quarantine.entry import Entry
from miltscan.sandwich.logline import LogEvent, addresses

E = TypeVar("E", bound=StrEnum)
_CUT = "…"  # a text that the log has shortened
_NO_ENGINE = "engine"  # stands for one whose name is unknown
_ALL = frozenset(Facts._fields) - {"now", "recipient"}


class Given(NamedTuple):
    """What options say of a message; None is what they do not say. An empty `user` has not authenticated."""

    sender: bytes | None = None
    recipients: tuple[bytes, ...] = ()
    client: str | None = None
    client_name: str | None = None
    user: str | None = None
    tls: bool | None = None
    daemon: str | None = None
    way: Direction | None = None
    size: int | None = None
    headers: tuple[Header, ...] = ()
    outcome: Outcome | None = None
    reason: Limit | Fault | None = None
    signature: str | None = None
    engine: str | None = None
    scores: tuple[GivenScore, ...] = ()
    now: WeekTime | None = None

    @property
    def judges(self) -> bool:
        """Whether the options name a verdict, so that no engine has to be asked."""
        return self.outcome is not None or self.reason is not None or self.signature is not None


def unknown_case(now: WeekTime) -> Case:
    """A message of which nothing is known but the time."""
    message = Message(UNKNOWN_CLIENT, Envelope(b""), "", b"", (), 0, NO_CONTENT)
    return Case(message, (), now, _ALL, partial=True)


def week_time_of(moment: datetime) -> WeekTime:
    """The time of the week on this host."""
    local = moment.astimezone()
    return WeekTime(local.weekday(), local.hour * 60 + local.minute)


def case_of_file(stream: BinaryIO, now: WeekTime) -> Case:
    """A stored message without its envelope; its size and digest are those of the session, with CRLF."""
    head, whole, size = list[bytes](), hashlib.sha256(), 0
    in_head = True
    for number, read in enumerate(stream):
        if number == 0 and read.startswith(b"From "):
            continue  # a mailbox file begins so
        line = read if read.endswith(b"\r\n") or not read.endswith(b"\n") else read[:-1] + b"\r\n"
        whole.update(line)
        size += len(line)
        if in_head:
            head.append(line)
            in_head = line != b"\r\n"
    case = unknown_case(now)
    message = case.message._replace(headers=parse_head(b"".join(head)), size=size)
    known = _ALL - {"headers", "size"}
    return case._replace(message=message, unknown=known, digest=whole.hexdigest(), partial=False)


def case_of_line(event: LogEvent, now: WeekTime, headers: Collection[bytes] = ()) -> Case:
    """A message as far as its line in the log goes; `now` where the line has no time. Any field may be missing.

    `headers` are the names of those that rules read: they are known if the line has notes on all of them.
    """
    sender, way = event.get("sender") or "", _member(Direction, event.get("direction"))
    recipients = [one for one in addresses(event) if _CUT not in one]
    noted = _noted(event)
    unknown = OF_STRUCTURE | _unless(noted.daemon is not None, "daemon") | _unless(noted.tls is not None, "tls")
    unknown |= _unless(bool(headers) and noted.headers.keys() >= {*headers}, "headers")
    unknown |= _unless(event.get("sender") is not None and _CUT not in sender, "sender")
    client = event.get("client_name") or "unknown", event.get("client_address") or "unknown"
    unknown |= _unless(event.get("client_address") is not None, "client")
    unknown |= _unless(event.get("client_name") is not None and _CUT not in client[0], "client_name")
    unknown |= _of_direction(way) - ({"user"} if noted.user is not None else set())
    size = event.fields.get("size")
    unknown |= _unless(isinstance(size, int), "size")
    verdicts = (*_verdicts(event.fields),)
    unknown |= _unless(not any(_CUT in (one.signature or "") for one in verdicts), "signature")
    envelope = Envelope(sender.encode(), tuple(one.encode() for one in recipients), way is Direction.SUBMISSION)
    message = unknown_case(now).message._replace(
        client=Client(*client),
        envelope=envelope,
        queue_id=event.queue_id or "",
        size=size if isinstance(size, int) else 0,
        headers=[(name, value) for name, values in noted.headers.items() for value in values],
        circumstances=Circumstances(
            user=noted.user or "", tls_version="TLS" if noted.tls else "", daemon=noted.daemon or ""
        ),
    )
    message = message._replace(structure=_structure(event, noted))
    unknown -= _known_of_structure(event, noted)
    count = event.fields.get("recipients_count")
    others = max(0, count - len(recipients)) if isinstance(count, int) else 0
    then = week_time_of(event.time) if event.time else now
    return Case(message, verdicts, then, frozenset(unknown), way, others, partial=True)


def _structure(event: LogEvent, noted: Noted) -> Structure:
    """What rules may ask of the structure, as far as it is noted."""
    anomalies = event.fields.get("anomalies")
    names = tuple(one for one in anomalies if isinstance(one, str)) if isinstance(anomalies, list) else ()
    found, depth = noted.attachments or (), noted.depth or 0
    return Structure(plain=False, sampled=False, anomalies=names, seconds=0.0, attachments=found, depth=depth)


def _known_of_structure(event: LogEvent, noted: Noted) -> frozenset[str]:
    """What of it is known: about the files only if all of them are noted."""
    files = noted.attachments is not None and isinstance(event.fields.get("anomalies"), list)
    return _unless(not files, "attachments") | _unless(not files, "anomalies") | _unless(noted.depth is None, "depth")


def _noted(event: LogEvent) -> Noted:
    notes = event.fields.get("facts")
    texts = notes if isinstance(notes, list) else []
    return read_notes([one for one in texts if isinstance(one, str)])


def case_of_entry(entry: Entry, headers: Sequence[Header] | None) -> Case:
    """A message of the quarantine; `headers` are None where they cannot be read."""
    unknown = (
        {"daemon", "tls", *OF_FILTERS, *OF_STRUCTURE}
        | _of_direction(entry.direction)
        | _unless(headers is not None, "headers")
    )
    if entry.signature:  # also one that was allowed then
        verdict = Verdict.infected(entry.engine, entry.signature)
    else:
        verdict = Verdict(entry.engine, entry.outcome, reason=entry.reason)
    envelope = Envelope(entry.sender, entry.recipients, entry.direction is Direction.SUBMISSION)
    message = unknown_case(WeekTime(0, 0)).message._replace(
        client=Client(entry.client_name, entry.client_address),
        envelope=envelope,
        queue_id=entry.queue_id,
        message_id=entry.message_id,
        headers=headers or (),
        size=entry.size,
    )
    then = week_time_of(datetime.fromtimestamp(entry.time).astimezone())
    return Case(
        message,
        (*_scanned(verdict),),
        then,
        frozenset(unknown),
        entry.direction,
        digest=entry.digest,
        partial=headers is None,
    )


def with_structure(case: Case, structure: Structure | None) -> Case:
    """The case of a message whose structure was read."""
    if structure is None:
        return case
    message = case.message._replace(structure=structure)
    return case._replace(message=message, unknown=case.unknown - OF_STRUCTURE)


def with_given(case: Case, given: Given, *, filters: bool) -> Case:
    """The case with what options say of it; with `filters` there are anti-spam engines, whose results are unknown."""
    known = {name for name in ("sender", "client", "client_name", "tls", "daemon", "size") if _says(given, name)}
    known |= {"headers"} if given.headers else set()
    known |= {"user", "authenticated"} if given.user is not None else set()
    known |= {"client_name"} if given.client is not None else set()
    message, envelope, about = case.message, case.message.envelope, case.message.circumstances
    name = given.client_name or (f"[{given.client}]" if given.client else message.client.name)
    message = message._replace(
        client=Client(name, given.client or message.client.address),
        envelope=envelope._replace(
            sender=envelope.sender if given.sender is None else given.sender,
            recipients=given.recipients or envelope.recipients,
            authenticated=envelope.authenticated if given.user is None else bool(given.user),
        ),
        headers=[*message.headers, *given.headers],
        size=message.size if given.size is None else given.size,
        circumstances=Circumstances(
            user=given.user or about.user,
            tls_version="TLS" if given.tls else "",
            daemon=about.daemon if given.daemon is None else given.daemon,
        ),
    )
    case = case._replace(
        message=message,
        unknown=case.unknown - known,
        now=given.now or case.now,
        way=given.way or case.way,
        others=0 if given.recipients else case.others,
    )
    return _directed(_judged(case, given, filters=filters), given)


def _says(given: Given, name: str) -> bool:
    return getattr(given, name) is not None


def _directed(case: Case, given: Given) -> Case:
    """The case with its direction, if that follows from what is known: the MTA alone knows the mailer."""
    if given.way or (case.way and given.client is None and given.user is None):
        return case._replace(unknown=case.unknown - {"direction"})
    message, envelope = case.message, case.message.envelope
    ways = {direction(message.client, envelope._replace(local=one)) for one in (True, False)}
    known = not {"client", "authenticated"} & case.unknown or ("authenticated" not in case.unknown and given.user)
    if not known or len(ways) > 1:
        return case._replace(way=None, unknown=case.unknown | {"direction"})
    return case._replace(way=ways.pop(), unknown=case.unknown - {"direction"})


def _judged(case: Case, given: Given, *, filters: bool) -> Case:
    """The case with the verdicts that options name."""
    if not given.judges and not given.scores:
        return case
    outcome = given.outcome or _outcome(given)
    scored = [
        Verdict.scored(name, "", score, Advice(action or SpamAction.NONE, 0.0), spam=outcome is Outcome.SPAM)
        for name, score, action in given.scores
    ]
    unnamed = _unless(all(one.action for one in given.scores), "spam_actions")
    if outcome is None:
        unknown = case.unknown - OF_FILTERS | unnamed if case.verdicts else case.unknown
        return case._replace(verdicts=(*case.verdicts, *scored) if case.verdicts else (), unknown=unknown)
    engine = given.engine or _NO_ENGINE
    main = Verdict(engine, outcome, signature=given.signature, reason=given.reason)
    unknown = case.unknown - OF_VERDICT | _unless(given.engine is not None, "engine")
    unknown |= _unless(given.reason is not None or outcome not in {Outcome.UNSCANNED, Outcome.ERROR}, "reason")
    unknown |= _unless(given.signature is not None or outcome is not Outcome.INFECTED, "signature")
    asked = filters and outcome in {Outcome.CLEAN, Outcome.SPAM}
    unknown |= OF_FILTERS if asked and not scored else unnamed
    mains = (Verdict.clean(_NO_ENGINE),) if outcome is Outcome.SPAM and scored else _scanned(main)
    return case._replace(verdicts=(*mains, *scored), unknown=unknown)


def _scanned(verdict: Verdict) -> Iterator[Verdict]:
    """The verdict; before that of an anti-spam engine the one of the engines that were asked first."""
    if verdict.outcome is Outcome.SPAM:
        yield Verdict.clean(_NO_ENGINE)
    yield verdict


def _outcome(given: Given) -> Outcome | None:
    if given.signature is not None:
        return Outcome.INFECTED
    if given.reason is None:
        return None
    return Outcome.UNSCANNED if isinstance(given.reason, Limit) else Outcome.ERROR


def _unless(known: bool, name: str) -> frozenset[str]:  # noqa: FBT001 - reads like a sentence
    return frozenset() if known else frozenset({name})


def _of_direction(way: Direction | None) -> frozenset[str]:
    """The facts that the direction leaves open: only who has authenticated has a user, whose name it does not have."""
    if way is None:
        return frozenset({"direction", "authenticated", "user"})
    return frozenset({"user"}) if way is Direction.SUBMISSION else frozenset()


def _verdicts(fields: Mapping[str, object]) -> Iterator[Verdict]:
    """The verdicts of the engines, before an entry of the allow list changed them; nothing that is not understood."""
    engines = fields.get("engines")
    given: list[Mapping[str, object]] = []
    if isinstance(engines, list):
        given = [one for one in engines if isinstance(one, dict)]
    for one in given or [fields]:
        outcome, signature, engine = _member(Outcome, one.get("outcome")), one.get("signature"), one.get("engine")
        if outcome is None:
            continue
        if isinstance(signature, str) and signature:
            yield Verdict.infected(str(engine or _NO_ENGINE), signature)
            continue
        reason = _member(Limit, one.get("reason")) or _member(Fault, one.get("reason"))
        score = one.get("score")
        advice = Advice(_member(SpamAction, one.get("advice")) or SpamAction.NONE, 0.0)
        yield Verdict(
            str(engine or _NO_ENGINE),
            outcome,
            reason=reason,
            score=float(score) if isinstance(score, int | float) else None,
            advice=advice if isinstance(score, int | float) else None,
        )


def _member(kind: type[E], value: object) -> E | None:
    return next((one for one in kind if one == value), None)
