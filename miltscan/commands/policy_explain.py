"""`policy explain`: why a message is decided as it is."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from miltscan.commands import policy_options as options
from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.lists_common import lists_now
from miltscan.commands.policy_case import (
    Given,
    case_of_entry,
    case_of_file,
    case_of_line,
    unknown_case,
    week_time_of,
    with_given,
    with_structure,
)
from miltscan.commands.policy_view import explained_fields, explained_text, known_text, lists_text
from miltscan.commands.quarantine_common import opened
from miltscan.commands.tables import indented, terminal_width
from miltscan.commands.terminal import complain, say, say_json
from miltscan.config.load import load_settings
from miltscan.config.rules import Side
from miltscan.config.settings import Settings
from miltscan.core.explained import OF_VERDICT, Case, Consulted, Explained, consult_lists, explained, known_facts
from miltscan.core.facts import OF_FILTERS, Facts
from miltscan.core.released import head_and_body, parse_head
from miltscan.core.split import RecipientMode
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.errors import EntryError, ListError, StartError, StoreError
from miltscan.quarantine.entry import is_entry_id
from miltscan.sandwich.logfiles import Logs, has_journal, usual_files
from miltscan.sandwich.logline import LogEvent, addresses, is_refused
from miltscan.scanning.assemble import list_scope, probed_pipeline, ruled_policy, unwrapping_for
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.stored import scan_stored, structure_of_stored
from miltscan.trace.follow import find

if TYPE_CHECKING:
    from miltscan.core.edits import Header

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
    subject: options.Subject = "",
    *,
    sender: options.Sender = None,
    recipients: options.Recipients = None,
    client: options.ClientAddress = None,
    client_name: options.ClientName = None,
    user: options.User = None,
    tls: options.Tls = None,
    daemon: options.Daemon = None,
    way: options.Way = None,
    size: options.Size = None,
    outcome: options.OutcomeName = None,
    reason: options.Reason = None,
    signature: options.Signature = None,
    engine: options.EngineName = None,
    scores: options.Scores = None,
    headers: options.Headers = None,
    at: options.At = None,
    delivery: options.Delivery = False,
    logs: options.LogFiles = None,
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
    verdict = (outcome, options.of_verdict(reason), signature, engine, (*(scores or ()),))
    about_client = (client, client_name, user, tls, daemon)
    now = None if at is None else week_time_of(at)
    given = Given(sender, (*(recipients or ()),), *about_client, way, size, (*(headers or ()),), *verdict, now)
    with exit_on_error():
        about, answer = _answered(subject, load_settings(config), config, given, logs, delivery=delivery)
    print_explained = _print_json if json else _print
    print_explained(about, answer)
    raise typer.Exit(int(any(one.decision is None for one in answer.found)))


def _answered(  # noqa: PLR0913 - what the options say
    subject: str, settings: Settings, config: Path | None, given: Given, logs: list[Path] | None, *, delivery: bool
) -> tuple[_Subject, _Answer]:
    """What is known of the subject, and the explanation. Raises MiltscanError."""
    about = _subject(subject, settings.without_filters() if delivery else settings, config, given, logs)
    about = about._replace(at_delivery=delivery or about.at_delivery)
    if about.at_delivery:  # no anti-spam engine is asked there
        settings = settings.without_filters()
        about = about._replace(case=about.case._replace(unknown=about.case.unknown - OF_FILTERS))
    policy = ruled_policy(settings, socket.gethostname(), verifies=about.at_delivery)
    if about.event:
        about = about._replace(case=case_of_line(about.event, about.case.now, policy.rules.headers))
    case = with_given(about.case, given, filters=bool(settings.filters))
    scope = list_scope(settings, verifies=about.at_delivery)
    consulted = consult_lists(policy, case, lists_now(settings), time.time(), scope)
    mode = RecipientMode.STRICTEST if about.at_delivery else settings.policy.recipients
    return about, _Answer(known_facts(policy, consulted.case), consulted, explained(policy, consulted), mode)


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
        say(f'Recipients differ: policy.recipients = "{answer.mode}" (docs/recipients.md)')


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
    events = [one for trace in found.traces for one in trace.events]
    lines = [one for one in events if one.get("event") == "message"]
    lines = [one for one in lines if one.queue_id == name] or lines or _refused(events)
    if not lines:
        shown = readable(name, 60)
        raise ListError(f"{shown}: no such file, and no line of miltscan about such a message in {read}; see --log")
    event = lines[-1]
    return _Subject(event.queue_id or name, case_of_line(event, now), _result(event), bool(event.get("receipt")), event)


def _refused(events: Iterable[LogEvent]) -> list[LogEvent]:
    """The line about the last recipient whom a rule refused at RCPT, with all of them: the message has no other."""
    lines = [one for one in events if is_refused(one)]
    named = [address for one in lines for address in addresses(one)]
    return [replace(one, fields={**one.fields, "recipients": named}) for one in lines[-1:]]


def _result(event: LogEvent) -> str:
    return f"{event.get('reply') or event.get('action')}, by rule {event.get('rule')}"


def _of_file(file: Path, settings: Settings, given: Given) -> Case:
    """A stored message with the verdicts of the engines. Raises StartError if it cannot be read, SpoolError."""
    now = week_time_of(datetime.now().astimezone())
    try:
        with file.open("rb") as stream:
            case = case_of_file(stream, now)
            stream.seek(0)
            if given.judges:
                return with_structure(
                    case, structure_of_stored(stream, settings, unwrapping_for(settings, explains=True))
                )
            records = ServerRecords()
            report = scan_stored(stream, settings, probed_pipeline(settings, records))
    except OSError as error:
        raise StartError(f"{readable(str(file))}: cannot be read: {error.strerror}") from None
    for server, why in records.down():
        complain(f"{server}: fails its self-test: {readable(why)}; miltscan check shows the remedy")
    case = with_structure(case, report.message.structure)
    unknown = case.unknown - OF_VERDICT
    if settings.filters:  # they would be asked about a clean message, and may call it spam
        unknown |= OF_FILTERS | ({"outcome", "engine"} if report.verdict.outcome is Outcome.CLEAN else set())
    return case._replace(verdicts=tuple(timed.verdict for timed in report.verdicts), unknown=unknown)


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
        result = f"{entry.action}, by rule {entry.rule}"
        return _Subject(entry_id, case_of_entry(entry, headers), result, at_delivery=entry.receipt is not None)
