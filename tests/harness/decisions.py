"""Reads the cases of tests/corpus/decisions (its README.md describes them); it does not run them."""

import fnmatch
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from miltscan.core.facts import WeekTime
from miltscan.core.listlines import FIRST, added_line
from miltscan.core.lists import ListEntry, ListName
from miltscan.core.message import NO_CIRCUMSTANCES, Circumstances
from tests.fakes.antispam import FakeAntispam, rspamd_says, spamd_says
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Slow, always_ok, close_without_answer, honest, says, unless_canary
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.programs import CHECKOUT

FOLDER = CHECKOUT / "tests" / "corpus" / "decisions"
LEVELS = ("unit", "milter", "e2e")
DELIVERED, REFUSED, DISCARDED, HELD, QUARANTINED = "delivered", "refused", "discarded", "held", "quarantined"
REDIRECTED = "redirected"
Header = tuple[bytes, bytes]
Fate = tuple[str, str, Sequence[tuple[str, str]]]
"""What becomes of a recipient's mail, the reason or the area, and its headers."""

_SECTIONS = ("configuration", "lists", "session", "message", "engine", "expected")
_HEADING = re.compile(r"^--- (\w+)\n", re.MULTILINE)
_LEVELS = re.compile(r"levels: ([a-z0-9 ]+) - .+")
_TERMS = ("circumstances", "now", "side")
_COMMAND = re.compile(r"(MAIL FROM|RCPT TO):(<\S*>)((?: \S+)*)")
_RECIPIENT = re.compile(r"(<\S+>): (.+)")
_MANY_BYTES = re.compile(r"\((\d+) bytes\)")
_QUEUE_ID = re.compile(r" \(\w+\)$")
_SESSION = "MAIL FROM:<sender@example.org>\nRCPT TO:<user@example.test>\n"
_ENGINE = "clamd: OK\n"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONDAY_MORNING = WeekTime(0, 600)
_OURS = ("x-virus-", "x-miltscan-", "x-spam-")
_Server = TypeVar("_Server")


class MailCommand(NamedTuple):
    """MAIL or RCPT with its path, angle brackets included, and its ESMTP arguments."""

    verb: str
    path: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join([f"{self.verb}:{self.path}", *self.arguments])


@dataclass(frozen=True, slots=True)
class Expected:
    """The reply (of 250 only the code), what becomes of the message, and patterns of the headers in _OURS.

    `each` has the same for addresses, where these differ.
    """

    reply: str
    fate: str
    reason: str
    headers: tuple[str, ...]
    each: Mapping[str, "Expected"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One file. `answers` has the words of each engine by its name; `body` has CRLF line ends.

    `circumstances` are those of the session; a case with a user is authenticated. Only the unit level can set `now` and
    the delivery side.
    """

    name: str
    levels: frozenset[str]
    configuration: str
    client: tuple[str, str]
    commands: tuple[MailCommand, ...]
    headers: tuple[Header, ...]
    body: bytes
    answers: Mapping[str, str]
    expected: Expected
    entries: tuple[ListEntry, ...] = ()
    circumstances: Circumstances = NO_CIRCUMSTANCES
    now: WeekTime = MONDAY_MORNING
    at_delivery: bool = False

    @property
    def local(self) -> bool:
        """Whether the local mailer delivers to all recipients: those of example.test, and those without a domain."""
        return all(one.endswith("@example.test>") or "@" not in one for one in self.recipients)

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The configuration by table, nested ones by dotted name, as the harness writes it."""
        found: dict[str, dict[str, Any]] = {}
        _flatten("", tomllib.loads(self.configuration), found)
        return found

    @property
    def types(self) -> list[str]:
        """The type of each engine, in their order."""
        return [one["type"] for one in self.tables.get("", {}).get("engine", [{"type": "clamd"}])]

    def servers(self, clamds: Iterable[_Server], antispam: _Server) -> list[_Server]:
        """A server for each engine: one of these clamds, or that of anti-spam engines."""
        those = iter(clamds)
        return [next(those) if kind == "clamd" else antispam for kind in self.types]

    def tables_with(self, servers: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The same where each [[engine]], in order, uses one of these servers and tests it often."""
        tables = self.tables
        if engines := tables.get("", {}).get("engine"):
            uses = [{"servers": [server], "canary_interval": "3s"} for server in servers]
            tables[""] |= {"engine": [{**one, **its} for one, its in zip(engines, uses, strict=True)]}
        return tables

    @property
    def sender(self) -> MailCommand:
        """Its MAIL command."""
        return next(command for command in self.commands if command.verb == "MAIL FROM")

    @property
    def recipients(self) -> list[str]:
        """The paths of its RCPT commands."""
        return [command.path for command in self.commands if command.verb == "RCPT TO"]

    def deviations(self, reply: str, fate: str, reason: str, headers: Iterable[tuple[str, str]]) -> list[str]:
        """What differs from the expectation: a line for each of reply, fate, miltscan's headers and other headers."""
        return self._deviations(self.expected, reply, (fate, reason, [*headers]))

    def deviations_of_each(self, reply: str, fates: Mapping[str, Fate]) -> list[str]:
        """The same for the addresses whose mail has these fates."""
        wanted = self.expected.each
        nothing: Fate = ("nothing", "", ())
        return [
            f"{address}: {line}"
            for address in sorted({*wanted, *fates})
            for line in self._deviations(
                wanted.get(address, Expected(self.expected.reply, *nothing[:2], ())), reply, fates.get(address, nothing)
            )
        ]

    def _deviations(self, wanted: Expected, reply: str, found: Fate) -> list[str]:
        fate, reason, headers = found
        heard = _QUEUE_ID.sub("", reply)
        has = [f"{name}: {value.strip()}" for name, value in headers]
        marks = [header for header in has if header.lower().startswith(_OURS)]
        sent = [f"{name.decode()}: {value.decode().strip()}" for name, value in self.headers]
        gone = tuple(f"{line[2:].lower()}:" for line in wanted.headers if line.startswith("- "))
        lost = [header for header in sent if not header.lower().startswith((*_OURS, *gone)) and header not in has]
        lost += [header for header in has if gone and header.lower().startswith(gone) and header not in wanted.headers]
        expected = [_literal(line) for line in wanted.headers if line.lower().startswith(_OURS)]
        others = [_literal(line) for line in wanted.headers if not line.lower().startswith((*_OURS, "- "))]
        lost += [line for line in others if not any(fnmatch.fnmatchcase(header, line) for header in has)]
        wrong = []
        if not fnmatch.fnmatchcase(heard[:3] if wanted.reply == "250" else heard, _literal(wanted.reply)):
            wrong.append(f"reply: expected {wanted.reply!r}, got {heard!r}")
        if (fate, reason) != (wanted.fate, wanted.reason):
            wrong.append(f"message: expected {wanted.fate} {wanted.reason!r}, got {fate} {reason!r}")
        matches = len(marks) == len(expected) and all(map(fnmatch.fnmatchcase, marks, expected))
        if fate in {DELIVERED, HELD} and not matches:
            wrong.append(f"headers: expected {expected}, got {marks}")
        if fate in {DELIVERED, HELD} and lost:
            wrong.append(f"headers: lost, or not removed: {lost}; got {has}")
        return wrong


def _literal(pattern: str) -> str:
    """The pattern with brackets that are no wildcards."""
    return pattern.replace("[", "[[]")


def cases(level: str) -> list[Case]:
    """The cases that run at this level, those of one configuration next to each other."""
    every = [parse_case(path.stem, path.read_text()) for path in sorted(FOLDER.glob("*.txt"))]
    return sorted((case for case in every if level in case.levels), key=lambda case: case.configuration)


def parse_case(name: str, text: str) -> Case:
    """The case in the text of a file. Raises ValueError that names the file and what is wrong."""
    head, *rest = _HEADING.split(text)
    titles, parts = rest[::2], rest[1::2]
    if titles != [title for title in _SECTIONS if title in titles] or not {"message", "expected"} <= {*titles}:
        raise ValueError(f"{name}: expected sections in the order {', '.join(_SECTIONS)}, got {', '.join(titles)}")
    section = dict(zip(titles, parts, strict=True))
    levels = [found[1].split() for line in head.splitlines() if (found := _LEVELS.fullmatch(line))]
    runs = frozenset(levels[0] if levels else LEVELS)
    if not runs <= {*LEVELS} or ("levels:" in head) != bool(levels):
        raise ValueError(f"{name}: expected levels: {' '.join(LEVELS)} - REASON")
    client, commands, terms = _session(name, section.get("session", _SESSION))
    headers, body = _message(section["message"])
    answers = dict(line.split(": ", 1) for line in section.get("engine", _ENGINE).split("\n") if line)
    _check_terms(name, terms, runs)
    return Case(
        name,
        runs,
        section.get("configuration", ""),
        client,
        commands,
        headers,
        body,
        answers,
        _expected(name, section["expected"]),
        _entries(name, section.get("lists", "")),
        _circumstances(terms.get("circumstances", "")),
        _now(terms["now"]) if "now" in terms else MONDAY_MORNING,
        at_delivery=terms.get("side") == "delivery",
    )


def _entries(name: str, text: str) -> tuple[ListEntry, ...]:
    """The entries of the lists, a line each: allow or deny, then KEY=VALUE."""
    found = []
    for number, line in enumerate(filter(None, text.split("\n"))):
        which, *terms = shlex.split(line)
        if which not in {*ListName} or not all("=" in term for term in terms):
            raise ValueError(f"{name}: expected allow or deny and KEY=VALUE, got {line!r}")
        fields: dict[str, Any] = dict(term.split("=", 1) for term in terms)
        found.append(ListEntry(f"0000000{number}", ListName(which), 0.0, "root", "case", **fields))
    return tuple(found)


@contextmanager
def in_force(case: Case, file: Path, reads: Callable[[], int]) -> Iterator[None]:
    """The entries of the case are in the file of the lists, and read; none when the context ends.

    `reads` counts how often the service has read the lists.
    """
    if not case.entries:
        yield
        return
    _put(file, map(added_line, case.entries), reads)
    try:
        yield
    finally:
        _put(file, (), reads)


def _put(file: Path, lines: Iterable[bytes], reads: Callable[[], int]) -> None:
    before, new = reads(), file.with_suffix(".new")
    new.write_bytes(FIRST + b"".join(lines))
    new.rename(file)
    wait_until(lambda: reads() > before, PATIENCE, "the lists of a case")


def _session(name: str, text: str) -> tuple[tuple[str, str], tuple[MailCommand, ...], dict[str, str]]:
    """The client, the commands, and the text of each other line by its name."""
    client, commands, terms = ("client.example.org", "192.0.2.1"), [], {}
    for line in filter(None, text.split("\n")):
        term, _, value = line.partition(": ")
        if term == "client":
            host, address = value.split(" ")
            client = host, address
        elif term in _TERMS:
            terms[term] = value
        elif found := _COMMAND.fullmatch(line):
            commands.append(MailCommand(found[1], found[2], tuple(found[3].split())))
        else:
            raise ValueError(f"{name}: expected client:, MAIL FROM: or RCPT TO:, got {line!r}")
    return client, tuple(commands), terms


def _check_terms(name: str, terms: Mapping[str, str], runs: Collection[str]) -> None:
    """Raise ValueError if a level of the case cannot set what its session has."""
    if {"now", "side"} & {*terms} and runs != {"unit"}:
        raise ValueError(f"{name}: expected levels: unit with now: and side:, which others cannot set")
    if "circumstances" in terms and "e2e" in runs:
        raise ValueError(f"{name}: expected levels: unit milter with circumstances:, which e2e cannot set")
    if terms.get("side", "delivery") != "delivery":
        raise ValueError(f"{name}: expected side: delivery, got {terms['side']!r}")


def _circumstances(text: str) -> Circumstances:
    """Those of `user=anna tls_version=TLSv1.3`."""
    return Circumstances(**dict(one.split("=", 1) for one in text.split()))


def _now(text: str) -> WeekTime:
    """The time of `Mon 23:15`."""
    day, clock = text.split(" ")
    hour, minute = clock.split(":")
    return WeekTime(_DAYS.index(day), int(hour) * 60 + int(minute))


def _message(text: str) -> tuple[tuple[Header, ...], bytes]:
    """Headers with the blank that stands in front of each value, and the body."""
    head, _, body = text.strip("\n").partition("\n\n")
    headers = [line.partition(":") for line in head.split("\n")]
    large = _MANY_BYTES.fullmatch(body)
    content = (b"x" * 70 + b"\r\n") * (int(large[1]) // 72 + 1) if large else body.replace("\n", "\r\n").encode()
    ending = b"" if large or not content else b"\r\n"
    return tuple((name.encode(), value.encode()) for name, _, value in headers), content + ending


def _expected(name: str, text: str) -> Expected:
    reply, *lines = text.strip("\n").split("\n")
    if not any(map(_RECIPIENT.fullmatch, lines[:1])):
        return _fate(name, reply, lines)
    blocks: list[tuple[str, list[str]]] = []
    for line in lines:
        if found := _RECIPIENT.fullmatch(line):
            blocks.append((found[1], [found[2]]))
        else:
            blocks[-1][1].append(line)
    return Expected(reply, "", "", (), {address: _fate(name, reply, block) for address, block in blocks})


def _fate(name: str, reply: str, lines: Sequence[str]) -> Expected:
    fate, *headers = lines
    kind, _, reason = fate.partition(": ")
    fates = dict.fromkeys((DELIVERED, REFUSED, DISCARDED, REDIRECTED), False) | {HELD: True, QUARANTINED: True}
    if fates.get(kind) is not bool(reason):
        expected = "delivered, refused, discarded, held: REASON or quarantined: AREA"
        raise ValueError(f"{name}: expected {expected}, got {fate!r}")
    return Expected(reply, kind, reason, tuple(headers))


def fates_in_log(line: Mapping[str, Any]) -> dict[str, Fate]:
    """The fates of those recipients who receive neither the message nor a copy, by miltscan's line about it."""
    kinds = {"redirect": REDIRECTED, "discard": DISCARDED}
    return {
        recipient: (kinds.get(one["action"], QUARANTINED), "" if one["action"] in kinds else one["area"], ())
        for one in line["decisions"]
        for recipient in one["recipients"]
        if one["area"] or one["action"] in kinds
    }


def _flatten(name: str, table: Mapping[str, Any], found: dict[str, dict[str, Any]]) -> None:
    values = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if values:
        found[name] = values
    for key, value in table.items():
        if isinstance(value, dict):
            _flatten(f"{name}.{key}".lstrip("."), value, found)


@contextmanager
def answering(server: FakeClamd | FakeAntispam, answer: str, wait_until_down: Callable[[], None]) -> Iterator[None]:
    """The fake answers mail with these words and its self-test honestly; both honestly when the context ends."""
    if isinstance(server, FakeAntispam):
        answers = _antispam(server, answer, wait_until_down)
    else:
        answers = _clamd(server, answer, wait_until_down)
    with answers:
        yield


def antispam_words(answer: str) -> bytes:
    """What a spamd sends that answers `True ; 8.3 / 5.0 RULE,OTHER`; with an action instead of True, a rspamd."""
    if answer == "(closes)":
        return b""
    result, _, symbols = answer.rpartition(" ")
    action, _, numbers = result.partition(" ; ")
    if action in {"True", "False"} or not numbers:
        return spamd_says(result, symbols)(b"")
    score, required = map(float, numbers.split(" / "))
    named = {name: {"score": 0.0} for name in symbols.split(",")}
    return rspamd_says(action=action, score=score, required_score=required, symbols=named)(b"")


@contextmanager
def _antispam(server: FakeAntispam, answer: str, wait_until_down: Callable[[], None]) -> Iterator[None]:
    server.requests.clear()
    server.answer = lambda _: antispam_words(answer)
    server.answers_self_test = answer != "(fails its self-test)"
    if not server.answers_self_test:
        wait_until_down()
    try:
        yield
        assert bool(server.requests) is not (answer in {"(not asked)", "(fails its self-test)"})
    finally:
        server.answers_self_test = True


@contextmanager
def _clamd(clamd: FakeClamd, answer: str, wait_until_down: Callable[[], None]) -> Iterator[None]:
    slow = Slow()
    special = {
        "(no answer)": unless_canary(slow),
        "(closes)": unless_canary(close_without_answer),
        "(fails its self-test)": always_ok,
    }
    clamd.behaviour = special.get(answer) or unless_canary(says(answer.encode()))
    if answer == "(fails its self-test)":
        wait_until_down()
    try:
        yield
    finally:
        slow.released.set()
        clamd.behaviour = honest


def edited(headers: Sequence[Header], edits: Iterable[tuple[bytes, bytes, int]]) -> list[Header]:
    """The headers after these edits, each a name, a value and an index.

    As sendmail does it: an index counts the headers of one name from 1, whose value is changed, or which is removed if
    the value is empty; a header with index 0 is new and stands on top.
    """
    result = [*headers]
    for name, value, index in edits:
        if index == 0:
            result.insert(0, (name, value))
            continue
        places = [place for place, (other, _) in enumerate(result) if other.lower() == name.lower()]
        if value:
            result[places[index - 1]] = (name, value)
        else:
            del result[places[index - 1]]
    return result
