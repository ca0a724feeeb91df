"""The effect of a rule: its reply, and its edits of headers."""

import pytest

from miltscan.core.action import ActionName, Choice, Reply
from miltscan.core.edits import ChangeHeader, Header, InsertHeader, RemoveHeader, edited
from miltscan.core.effect import Effect, code_of, edits_of, header_name, reply_of, tag_of
from miltscan.core.template import PLACEHOLDERS, Template

VALUES = dict.fromkeys(PLACEHOLDERS, "x") | {"queue_id": "5AMEkX", "signature": "Eicar\r\n250 OK"}
DEFAULT = Reply(550, "5.7.1", "Virus found (5AMEkX)")
REJECT, ACCEPT = Choice(ActionName.REJECT), Choice(ActionName.ACCEPT)


@pytest.mark.parametrize(
    ("effect", "reply"),
    [
        (Effect(REJECT), DEFAULT),
        (Effect(REJECT, 554), Reply(554, "5.7.1", DEFAULT.text)),
        (Effect(REJECT, 554, "5.6.0"), Reply(554, "5.6.0", DEFAULT.text)),
        (Effect(REJECT, text=Template.parse("no {signature}")), Reply(550, "5.7.1", "no Eicar??250 OK (5AMEkX)")),
        (Effect(REJECT, text=Template.parse("see {queue_id}")), Reply(550, "5.7.1", "see 5AMEkX")),
        (Effect(REJECT, text=Template.parse("a" * 500)), Reply(550, "5.7.1", "a" * 400 + " (5AMEkX)")),
    ],
)
def test_the_reply(effect: Effect, reply: Reply) -> None:
    """What the rule does not name is as without it; the queue ID never gets lost."""
    assert reply_of(effect, VALUES, DEFAULT) == reply


def test_a_reply_without_a_queue_id() -> None:
    """At MAIL the MTA may not have one yet."""
    effect = Effect(REJECT, text=Template.parse("no"))
    assert reply_of(effect, VALUES | {"queue_id": ""}, DEFAULT).text == "no"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([(b"Subject", b" hello")], (ChangeHeader("Subject", 1, "[x] hello"),)),
        ([(b"subject", b"hello"), (b"Subject", b" two")], (ChangeHeader("Subject", 1, "[x] hello"),)),
        ([(b"Subject", b" a\n\tb")], (ChangeHeader("Subject", 1, "[x] a\n\tb"),)),
        ([(b"Subject", b"\n\ta\n\tb")], (ChangeHeader("Subject", 1, "[x] a\n\tb"),)),
        ([(b"Subject", b" " + b"a" * 985)], (ChangeHeader("Subject", 1, f"[x] {'a' * 985}"),)),
        ([(b"Subject", b" " + b"a" * 986)], (ChangeHeader("Subject", 1, f"[x]\n {'a' * 986}"),)),
        ([(b"Subject", b" [x] hello")], ()),
        ([(b"Subject", b" \n [x] hello")], ()),
        ([(b"Subject", b" =?utf-8?q?h=C3=A9?=")], (ChangeHeader("Subject", 1, "[x] =?utf-8?q?h=C3=A9?="),)),
        ([(b"Subject", " hé".encode())], (ChangeHeader("Subject", 1, "[x] hé"),)),
        ([(b"Subject", b" h\xe9")], (ChangeHeader("Subject", 1, "[x] hé"),)),
        ([(b"Subject", b"")], (ChangeHeader("Subject", 1, "[x]"),)),
        ([(b"From", b" a")], (InsertHeader("Subject", "[x]"),)),
    ],
)
def test_the_tag_of_a_subject(headers: list[Header], expected: tuple[object, ...]) -> None:
    """Once, before what the sender wrote, of which nothing is lost."""
    assert edits_of(Effect(ACCEPT, tag=Template.parse("[x]")), headers, VALUES) == expected


def test_headers_are_added_in_place_of_the_senders() -> None:
    """A field of that name that comes from outside must not be taken for the rule's."""
    headers = [(b"X-Quality", b" good"), (b"X-Other", b" 1"), (b"x-quality", b" fine"), (b"X-Gone", b" 2")]
    effect = Effect(ACCEPT, add_headers=(("X-Quality", Template.parse("{rule}")),), remove_headers=("x-gone",))
    edits = edits_of(effect, headers, VALUES)
    assert edits == (
        RemoveHeader("x-gone", 1),
        RemoveHeader("x-quality", 2),
        RemoveHeader("x-quality", 1),
        InsertHeader("X-Quality", "x"),
    )
    assert edited(headers, edits) == [(b"X-Quality", b" x"), (b"X-Other", b" 1")]


def test_a_rule_without_edits_has_none() -> None:
    """Nothing is looked for then."""
    assert edits_of(Effect(ACCEPT), [(b"Subject", b" x")], VALUES) == ()


@pytest.mark.parametrize(
    ("action", "text", "expected"),
    [
        (ActionName.REJECT, "554", (554, "")),
        (ActionName.REJECT, "550 5.7.25", (550, "5.7.25")),
        (ActionName.TEMPFAIL, "450 4.2.0", (450, "4.2.0")),
    ],
)
def test_a_code(action: ActionName, text: str, expected: tuple[int, str]) -> None:
    """Its first digit and that of the status fit the action."""
    assert code_of(action, text) == expected


@pytest.mark.parametrize("text", ["", "250", "450", "5500", "550 4.7.1", "550 5.7", "550  5.7.1", "550 5.7.1 no"])
def test_a_code_that_does_not_fit(text: str) -> None:
    """A 4xx of a rejection would be retried for days."""
    with pytest.raises(ValueError, match="expected a code such as"):
        code_of(ActionName.REJECT, text)


@pytest.mark.parametrize("text", ["421", "421 4.7.0", "550"])
def test_a_code_of_a_tempfail(text: str) -> None:
    """With 421 sendmail would close the connection, other transactions included."""
    with pytest.raises(ValueError, match="expected a code such as"):
        code_of(ActionName.TEMPFAIL, text)


@pytest.mark.parametrize(
    "name", ["", "X A", "X:", "é", "Subject", "received", "X-Virus-Foo", "x-miltscan-y", "Content-Type"]
)
def test_a_header_that_rules_leave_alone(name: str) -> None:
    """Those that the MTA, the sender's program or miltscan itself needs."""
    with pytest.raises(ValueError, match="expected"):
        header_name(name)


def test_a_tag_is_short() -> None:
    """An encoded word of its own would not be decoded next to others."""
    assert tag_of("[{class}]").uses("class")
    for text in ("", " ", "x" * 41, "=?utf-8?q?x?=", "{x}"):
        with pytest.raises(ValueError, match="expected"):
            tag_of(text)
