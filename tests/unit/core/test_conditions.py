"""Each condition: what it matches, and which values it refuses."""

from typing import Any

import pytest

from miltscan.core.attachments import look_at
from miltscan.core.condition_values import UnfitError
from miltscan.core.conditions import CONDITIONS, condition
from miltscan.core.facts import NOTHING_KNOWN, Facts, HeaderIndex, WeekTime
from miltscan.core.lookup import Check, Kind, Source
from miltscan.core.message import Direction
from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction

KNOWN = Facts(
    now=WeekTime(0, 600),
    client="192.0.2.7",
    client_name="mail.example.org",
    daemon="MTA",
    tls=True,
    authenticated=False,
    user="",
    sender=b"<User@Mail.Example.org>",
    recipient=b"<b@example.net>",
    direction=Direction.INBOUND,
    size=2000,
    headers=HeaderIndex([(b"List-Id", b" <a.b>"), (b"X-Foo", b" one\n\ttwo"), (b"x-foo", b" \xff"), (b"X-Empty", b"")]),
    outcome=Outcome.INFECTED,
    reason="",
    engine="clamd",
    signature="Doc.Macro.Agent-1",
    scores={"rspamd": 6.5},
    spam_actions={"rspamd": SpamAction.SOFT_REJECT, "spamd": SpamAction.NONE},
    attachments=(look_at(["a.txt"], b"text"), look_at(["other", "invoice.pdf.EXE"], b"MZ" + bytes(100))),
    anomalies=frozenset({"padding-inside"}),
    encrypted=True,
    depth=2,
)


class Words:
    """A source that has these values, whatever their kind; it excludes those after an exclamation mark."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def has(self, kind: Kind, value: str) -> bool | None:
        """Whether it has the value of this kind, None if it says nothing of it."""
        word = f"{kind}:{value}"
        return True if word in self.words else False if f"!{word}" in self.words else None


def opened(text: str, _check: Check) -> Source:
    """The source that `file:` with its words names."""
    return Words(*text.removeprefix("file:").split())


def holds(key: str, value: object, facts: Facts = KNOWN) -> bool | None:
    """What the condition says of the facts."""
    return condition(key, value, opened).test(facts)


@pytest.mark.parametrize(
    ("key", "words", "expected"),
    [
        ("client", "!network:192.0.2.7 host:mail.example.org", False),
        ("client", "network:192.0.2.7 !host:mail.example.org", True),
        ("client", "!host:mail.example.org", False),
        ("recipient", "!address:b%a.test@example.net address:b@a.test", False),
        ("recipient", "address:b@a.test", True),
    ],
)
def test_the_first_value_that_a_source_knows_decides(key: str, words: str, expected: bool) -> None:  # noqa: FBT001
    """An exception by the address of a client counts, although a domain above its name is in the source, too."""
    facts = KNOWN._replace(recipient=b"<b%a.test@example.net>")
    assert holds(key, f"file:{words}", facts) is expected


@pytest.mark.parametrize(
    ("key", "matching", "failing"),
    [
        ("outcome", ["infected", ["clean", "infected"]], ["clean", ["spam", "error"]]),
        ("reason", [], ["timeout", ["connect", "busy"]]),
        ("engine", ["clamd"], ["rspamd", "CLAMD"]),
        (
            "signature",
            ["Doc.*", "doc.macro.agent-1", ["x", "*Macro*"], "file:text:Doc.Macro.Agent-1"],
            ["Macro", "file:"],
        ),
        ("class", ["Macro", ["Phishing", "Macro"]], ["Phishing"]),
        ("score_from", [6.5, 1, {"rspamd": 6}, {"x": 1, "rspamd": 2}], [6.6, {"x": 1}, {"rspamd": 7}]),
        ("spam_action", ["soft reject", ["reject", "none"]], ["no action", ["greylist", "reject"]]),
        (
            "sender",
            [
                "@mail.example.org",
                ".example.org",
                "user@",
                "user@mail.example.org",
                "file:address:user@mail.example.org",
            ],
            ["@example.org", "<>", ["a@b", ".net"], "access:x"],
        ),
        ("recipient", ["b@example.net", [".org", "@example.net"]], ["a@example.net"]),
        (
            "client",
            [
                "192.0.2.0/24",
                "192.0.2.7",
                "mail.example.org",
                ".example.org",
                ".mail.example.org",
                "file:host:mail.example.org",
            ],
            ["192.0.3.0/24", "2001:db8::/32", "example.org", ".net", "file:host:example.org"],
        ),
        ("direction", ["inbound"], ["outbound", ["internal", "submission"]]),
        ("authenticated", [False], [True]),
        ("user", [], ["*", "alice"]),
        ("tls", [True], [False]),
        ("size_from", [2000, 1], [2001]),
        ("size_to", [2000, 5000], [1999]),
        (
            "header",
            [{"list-id": "*"}, {"X-Foo": "one\ttwo"}, {"x-foo": ["x", "\\xff"]}, {"X-Empty": "*", "List-Id": "<a.*"}],
            [{"X-None": "*"}, {"X-Foo": "three"}, {"List-Id": "*", "X-None": "*"}],
        ),
        ("attachment", ["*.exe", ["*.com", "Invoice.pdf.exe"]], ["*.scr", "exe"]),
        ("type", ["exe", ["zip", "exe"]], ["zip"]),
        ("encrypted", [True], [False]),
        ("macro", [True], [False]),
        ("anomaly", ["padding-inside", ["zip-joined", "padding-inside"]], ["zip-joined", "double-extension"]),
        ("depth_from", [1, 2], [3, 20]),
        ("daemon", ["MTA", ["MSA", "MTA"]], ["MSA"]),
        ("time", ["Mon-Fri 08:00-18:00", ["Sun", "10:00-11:00"]], ["Sat,Sun"]),
    ],
)
def test_what_a_condition_matches(key: str, matching: list[Any], failing: list[Any]) -> None:
    """Without the fact it is undecided."""
    assert [value for value in matching if holds(key, value) is not True] == []
    assert [value for value in failing if holds(key, value) is not False] == []
    assert [value for value in matching + failing if holds(key, value, NOTHING_KNOWN) is not None] == []


def test_every_key_is_tested_above() -> None:
    """A new condition needs its table."""
    (mark,) = test_what_a_condition_matches.pytestmark
    assert {*CONDITIONS} == {row[0] for row in mark.args[1]}


@pytest.mark.parametrize(
    ("key", "value", "facts"),
    [
        ("signature", "*", KNOWN._replace(signature="")),
        ("user", "*", KNOWN),
        ("client", "192.0.2.0/24", KNOWN._replace(client="local")),
        ("client", "192.0.2.0/24", KNOWN._replace(client="unknown")),
    ],
)
def test_what_is_missing_has_no_form(key: str, value: str, facts: Facts) -> None:
    """A message without signature has none that matches; a program on the host has no address."""
    assert holds(key, value, facts) is False


@pytest.mark.parametrize(
    ("key", "value", "facts"),
    [
        ("sender", "<>", KNOWN._replace(sender=b"<>")),
        ("sender", "<>", KNOWN._replace(sender=b"")),
        ("client", "192.0.2.0/24", KNOWN._replace(client="IPv6:::ffff:192.0.2.9")),
        ("client", "2001:db8::/32", KNOWN._replace(client="IPv6:2001:db8::1")),
        ("client", "192.0.2.7", KNOWN._replace(client_name="[192.0.2.7]")),
        ("class", "Macro", KNOWN._replace(signature="Heuristics.OLE2.ContainsMacros.VBA")),
        ("class", "Heuristics", KNOWN._replace(signature="Heuristics.OLE2.ContainsMacros.VBA")),
        ("reason", "timeout", KNOWN._replace(reason=Limit.TIMEOUT)),
        ("reason", "closed", KNOWN._replace(reason=Fault.CLOSED)),
        ("user", "al*", KNOWN._replace(user="Alice")),
    ],
)
def test_forms_of_a_fact(key: str, value: str, facts: Facts) -> None:
    """The empty sender, addresses as sendmail writes them, and what is known only of some mail."""
    assert holds(key, value, facts) is True


@pytest.mark.parametrize(
    ("key", "value", "mistakes"),
    [
        ("outcome", "infectd", [("", "infectd", 'expected one of "clean", "spam"')]),
        ("outcome", [], [("", [], "expected at least one value")]),
        ("outcome", 1, [("", 1, "expected a text")]),
        ("outcome", ["clean", "x", "y"], [("[2]", "x", "expected one of"), ("[3]", "y", "expected one of")]),
        ("sender", ["@a.example", "example.org"], [("[2]", "example.org", "expected an address")]),
        ("client", "192.0.2.7/24", [("", "192.0.2.7/24", "expected an address or a network")]),
        ("client", "a b", [("", "a b", "expected a network, an address, a host's name")]),
        ("authenticated", "yes", [("", "yes", "expected true or false")]),
        ("size_from", True, [("", True, "expected a size")]),
        ("score_from", "8", [("", "8", "expected a number")]),
        ("score_from", {}, [("", {}, "expected a number")]),
        ("score_from", float("inf"), [("", float("inf"), "expected a number")]),
        ("score_from", 10**400, [("", 10**400, "expected a number")]),
        ("size_from", -1, [("", -1, "expected a size")]),
        ("score_from", {"rspamd": True}, [(".rspamd", True, "expected a number")]),
        ("spam_action", ["reject", "defer"], [("[2]", "defer", 'expected one of "no action", "greylist"')]),
        ("header", "X-Foo", [("", "X-Foo", "expected a table")]),
        ("header", {}, [("", {}, "expected a table")]),
        ("header", {"X-Foo": ["a", 1]}, [(".X-Foo[2]", 1, "expected a text")]),
        ("header", {"X Foo": "a"}, [("", "X Foo", "expected the name of a header")]),
        ("time", ["Mon", "noon"], [("[2]", "noon", "expected days, hours or both")]),
        ("class", "macro", [("", "macro", 'expected one of "Heuristics"')]),
    ],
)
def test_a_value_that_is_refused(key: str, value: object, mistakes: list[tuple[str, object, str]]) -> None:
    """All mistakes of a value are named, each with its place."""
    with pytest.raises(UnfitError) as raised:
        condition(key, value, opened)
    found = raised.value.mistakes
    assert [(place, given) for place, given, _ in found] == [(place, given) for place, given, _ in mistakes]
    assert [
        text for (_, _, text), (_, _, start) in zip(found, mistakes, strict=True) if not text.startswith(start)
    ] == []


def test_a_source_that_cannot_be_opened() -> None:
    """What its opening raises is a mistake of that value."""

    def broken(_text: str, _check: Check) -> Source:
        raise ValueError("expected a file that exists")

    with pytest.raises(UnfitError) as raised:
        condition("sender", ["@a.example", "file:/nowhere"], broken)
    assert raised.value.mistakes == (("[2]", "file:/nowhere", "expected a file that exists"),)


def test_an_unknown_key() -> None:
    """It is a KeyError, as are those that are reserved."""
    for key in ("colour",):
        with pytest.raises(KeyError):
            condition(key, "x", opened)


def test_a_condition_shows_its_values() -> None:
    """As they stand in the file, cleaned for a terminal."""
    assert str(condition("sender", ["@a.example", "<>"], opened)) == 'sender = ["@a.example", "<>"]'
    assert str(condition("header", {"X-Foo": "\x1b*"}, opened)) == 'header = { X-Foo = "\\x1b*" }'
    assert str(condition("tls", True, opened)) == "tls = true"  # noqa: FBT003 - the value in the file
