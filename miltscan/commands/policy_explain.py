"""`policy explain`: why a message is decided as it is."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.dropping import become_owner
from miltscan.commands.policy_case import (
    Given,
    case_of_entry,
    case_of_file,
    case_of_line,
    unknown_case,
    week_time_of,
    with_given,
)
from miltscan.commands.policy_view import explained_fields, explained_text, known_text, lists_text
from miltscan.commands.quarantine_common import opened
from miltscan.commands.tables import indented, terminal_width
from miltscan.commands.terminal import complain, say, say_json
from miltscan.config.load import load_settings
from miltscan.config.rules import Side
from miltscan.config.settings import Settings
from miltscan.config.units import parse_size
from miltscan.core.edits import Header
from miltscan.core.explained import Case, Consulted, Explained, consult_lists, explained, known_facts
from miltscan.core.facts import Facts
from miltscan.core.lists import Lists
from miltscan.core.message import Direction
from miltscan.core.released import head_and_body, parse_head
from miltscan.core.split import RecipientMode
from miltscan.core.text import readable
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.errors import EntryError, ListError, MiltscanError, StartError, StoreError
from miltscan.quarantine.entry import is_entry_id
from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
from miltscan.sandwich.logline import LogEvent
from miltscan.scanning.assemble import probed_pipeline, ruled_policy
from miltscan.scanning.listfile import ListFile
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.stored import scan_stored
from miltscan.trace.follow import find

E = TypeVar("E", bound=StrEnum)
_CHUNK = 2**16  # bytes


class _Subject(NamedTuple):
    """What is explained: its name, the case, and what was done with it then (empty if nothing is known of that).

    `event` is the line of the log that it comes from.
    """

    name: str
    case: Case
    result: str = ""
    at_delivery: bool = False
    event: LogEvent | None = None

    @property
    def side(self) -> Side:
        """The side whose rules decide."""
        return Side.DELIVERY if self.at_delivery else Side.INCOMING


class _Answer(NamedTuple):
    """The explanation; `mode` is what is done where recipients differ."""

    known: Facts
    consulted: Consulted
    found: Sequence[Explained]
    mode: RecipientMode


def explain_policy(  # noqa: PLR0913 - one parameter for each option
    subject: Annotated[
        str,
        typer.Argument(
            metavar="FILE|QUEUE-ID|ID",
            help="A stored message, a queue ID in the log, or the whole ID of an entry of the quarantine.",
            show_default=False,
        ),
    ] = "",
    *,
    sender: Annotated[str | None, typer.Option("--sender", metavar="ADDRESS", help="The sender; <> for none.")] = None,
    recipients: Annotated[
        list[str] | None, typer.Option("--recipient", metavar="ADDRESS", help="A recipient; may be repeated.")
    ] = None,
    client: Annotated[str | None, typer.Option("--client", metavar="IP", help="The address of the client.")] = None,
    client_name: Annotated[
        str | None, typer.Option("--client-name", metavar="NAME", help="Its name in DNS; with --client alone none.")
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Who has authenticated; '' for nobody.")
    ] = None,
    tls: Annotated[bool | None, typer.Option("--tls/--no-tls", help="Whether the client uses TLS.")] = None,
    daemon: Annotated[
        str | None, typer.Option("--daemon", metavar="NAME", help="The name of the port: DaemonPortOptions.")
    ] = None,
    way: Annotated[
        str | None, typer.Option("--direction", metavar="NAME", help="inbound, outbound, internal or submission.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="SIZE", help="The size, such as 30MiB.")] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", metavar="NAME", help="clean, spam, unscanned, error or infected.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="NAME", help="Why it was not scanned, such as timeout.")
    ] = None,
    signature: Annotated[str | None, typer.Option("--signature", metavar="NAME", help="What was found.")] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", metavar="NAME", help="The engine whose verdict that is.")
    ] = None,
    scores: Annotated[
        list[str] | None, typer.Option("--score", metavar="ENGINE=N", help="A score; may be repeated.")
    ] = None,
    headers: Annotated[
        list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="A header; may be repeated.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="The time: 2026-12-31T18:00.")] = None,
    delivery: Annotated[bool, typer.Option("--delivery", help="By the rules of the delivery side.")] = False,
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", "-l", metavar="FILE", help="Read this log; may be repeated.", readable=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    config: Config = None,
) -> None:
    """Explain why a message is decided as it is.

    It shows each rule with the condition that failed, the entry of a list that applies, and the decision for each
    recipient, by the configuration as it is now. Of a stored message the engines are asked, unless options give a
    verdict. Options replace what is known of a message; what nobody says is unknown, and a rule that depends on it is
    undecided. The status is 1 if a decision is undecided or the message is not found, else 0.

    \b
    Examples:
      miltscan policy explain 6AMG4FAU001849
      miltscan policy explain message.eml --sender a@partner.example --recipient b@example.org
      miltscan policy explain --client 192.0.2.1 --sender a@b.example --recipient c@d.example --signature Win.Test.X
      miltscan policy explain 6AMG4FAU001849 --config ./candidate.toml --json
    """
    given = Given(
        sender=None if sender is None else _path(sender),
        recipients=tuple(map(_path, recipients or ())),
        client=_client(client),
        client_name=client_name,
        user=user,
        tls=tls,
        daemon=daemon,
        way=_one_of(Direction, way, "--direction"),
        size=_size(size),
        headers=tuple(map(_header, headers or ())),
        outcome=_one_of(Outcome, outcome, "--outcome"),
        reason=_reason(reason),
        signature=signature,
        engine=engine,
        scores=_scores(scores or ()),
        now=None if at is None else week_time_of(_time(at)),
    )
    with exit_on_error():
        settings = load_settings(config)
        about = _subject(subject, settings, config, given, logs)
        about = about._replace(at_delivery=delivery or about.at_delivery)
        policy = ruled_policy(settings, socket.gethostname(), verifies=about.at_delivery)
        if about.event:
            about = about._replace(case=case_of_line(about.event, about.case.now, policy.rules.headers))
        case = with_given(about.case, given, filters=bool(settings.filters))
        consulted = consult_lists(policy, case, _lists(settings), time.time(), at_delivery=about.at_delivery)
    mode = RecipientMode.STRICTEST if about.at_delivery else settings.policy.recipients
    found = explained(policy, consulted)
    print_explained = _print_json if json else _print
    print_explained(about, _Answer(known_facts(policy, consulted.case), consulted, found, mode))
    raise typer.Exit(int(any(one.decision is None for one in found)))


def _print_json(about: _Subject, answer: _Answer) -> None:
    heading = {"subject": readable(about.name) or None, "side": about.side, "then": about.result or None}
    fields = explained_fields(answer.known, answer.consulted, answer.found)
    say_json({**heading, **fields, "recipients_mode": answer.mode})


def _print(about: _Subject, answer: _Answer) -> None:
    width = terminal_width()
    say(f"Message {readable(about.name)}, {about.side} side" if about.name else f"A message, {about.side} side")
    say("\n".join(known_text(answer.known, width)))
    if about.result:
        say("\n".join(["Then", *indented(about.result, width)]))
    say("\n".join(["Lists", *lists_text(answer.consulted, width)]))
    say("\n".join(explained_text(answer.found, answer.consulted.case.others, width)))
    if len({one.decision for one in answer.found}) > 1:
        say(f'Recipients differ: policy.recipients = "{answer.mode}" (docs/rules.md)')


def _subject(name: str, settings: Settings, config: Path | None, given: Given, logs: list[Path] | None) -> _Subject:
    """What is known of the message that was named. Raises MiltscanError."""
    now = week_time_of(datetime.now().astimezone())
    if not name:
        return _Subject("", unknown_case(now))
    if Path(name).is_file():
        return _Subject(name, _of_file(Path(name), settings, given))
    if is_entry_id(name.lower()):
        return _of_entry(name.lower(), config)
    read = Logs(logs or usual_files(), journal=not logs and has_journal(), on_error=complain)
    found = find(name, read.matching, datetime.now().astimezone())
    lines = [one for trace in found.traces for one in trace.events if one.get("event") == "message"]
    lines = [one for one in lines if one.queue_id == name] or lines
    if not lines:
        shown = readable(name, 60)
        raise ListError(f"{shown}: no such file, and no line of miltscan about such a message in {read}; see --log")
    event = lines[-1]
    return _Subject(event.queue_id or name, case_of_line(event, now), _result(event), bool(event.get("receipt")), event)


def _result(event: LogEvent) -> str:
    return f"{event.get('reply') or event.get('action')}, by rule {event.get('rule')}"


def _of_file(file: Path, settings: Settings, given: Given) -> Case:
    """A stored message with the verdicts of the engines. Raises StartError if it cannot be read, SpoolError."""
    now = week_time_of(datetime.now().astimezone())
    try:
        with file.open("rb") as stream:
            case = case_of_file(stream, now)
            if given.judges:
                return case
            stream.seek(0)
            records = ServerRecords()
            report = scan_stored(stream, settings, probed_pipeline(settings, records))
    except OSError as error:
        raise StartError(f"{readable(str(file))}: cannot be read: {error.strerror}") from None
    for server, why in records.down():
        complain(f"{server}: fails its self-test: {readable(why)}; miltscan check shows the remedy")
    unknown = case.unknown - {"outcome", "reason", "engine", "signature"}
    return case._replace(
        verdicts=tuple(timed.verdict for timed in report.verdicts),
        unknown=unknown if settings.filters else unknown - {"scores"},
    )


def _of_entry(entry_id: str, config: Path | None) -> _Subject:
    """An entry of the quarantine; of an encrypted one without its key the headers are unknown."""
    with opened(config) as quarantine:
        entry = quarantine.files.read(entry_id).entry
        headers: list[Header] | None = None
        try:
            with quarantine.message(entry_id) as message:
                head, _ = head_and_body(iter(lambda: message.read(_CHUNK), b""))
                headers = parse_head(head)
        except (EntryError, StoreError) as error:
            complain(f"{error}; its headers are unknown")
        return _Subject(entry_id, case_of_entry(entry, headers), f"{entry.action}, by rule {entry.rule}")


def _lists(settings: Settings) -> Lists:
    """The allow and deny lists; none where they cannot be read, after a line that says so."""
    if not settings.lists.file:
        return Lists()
    file = Path(settings.lists.file)
    try:
        become_owner(settings, file.parent)
        return ListFile(file).read()
    except MiltscanError as error:
        complain(f"lists not asked: {error}")
        return Lists()


@contextmanager
def _expecting(text: str, option: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"expected {text}", param_hint=option) from None


def _path(address: str) -> bytes:
    """An address as MAIL and RCPT name it."""
    bare = address.strip().removeprefix("<").removesuffix(">")
    return f"<{bare}>".encode("utf-8", "surrogateescape")


def _client(text: str | None) -> str | None:
    with _expecting("an IP address, or local", "--client"):
        return text if text is None or text == "local" else str(ip_address(text))
    raise AssertionError


def _size(text: str | None) -> int | None:
    with _expecting("a size such as 30MiB", "--size"):
        return None if text is None else int(text) if text.isdecimal() else parse_size(text)
    raise AssertionError


def _time(text: str) -> datetime:
    with _expecting("a time such as 2026-12-31T18:00", "--at"):
        return datetime.fromisoformat(text).astimezone()
    raise AssertionError


def _one_of(kind: type[E], text: str | None, option: str) -> E | None:
    with _expecting(f"one of {', '.join(kind)}", option):
        return None if text is None else kind(text)
    raise AssertionError


def _reason(text: str | None) -> Limit | Fault | None:
    if text is not None and text in {*Limit}:
        return Limit(text)
    with _expecting(f"one of {', '.join((*Limit, *Fault))}", "--reason"):
        return None if text is None else Fault(text)
    raise AssertionError


def _header(text: str) -> Header:
    name, equals, value = text.partition("=")
    with _expecting("NAME=VALUE", "--header"):
        if not equals or not name:
            raise ValueError
    return name.encode("utf-8", "surrogateescape"), b" " + value.encode("utf-8", "surrogateescape")


def _scores(texts: "list[str] | tuple[str, ...]") -> Mapping[str, float]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        with _expecting("ENGINE=N such as rspamd=8.5", "--score"):
            found[name] = float(value)
    return found
