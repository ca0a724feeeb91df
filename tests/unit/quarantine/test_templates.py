"""Notices and summaries as mails: templates of the site, hostile values, headers."""

import email
import email.policy
import html
import re
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.message import Direction
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.quarantine.entry import Event, Standing, State
from miltscan.quarantine.shown import LateNotice, Notice, Shown, Summary, samples, shown_message
from miltscan.quarantine.templates import Sender, Templates, Texts, mail, problems
from tests.fakes.entries import ANN, BOB, NOW, entry

SENDER = Sender("postmaster@mx.example.org", "mx.example.org")
DAY = 86400.0
HOSTILE = [
    "x\r\nBcc: victim@example.com\r\n\r\nbody",
    "<script>alert(1)</script><img src=http://evil.com/x.png>",
    '"><a href="http://evil.com">click</a>',
    "{{ 7 * 7 }}{% raw %}",
    "\u202egpj.exe\u2066\u061c",
    "\x1b]0;title\x07\x1b[2J",
    "=?utf-8?q?evil?=",
    "--=_miltscan--",
]


def summary(**changes: Any) -> Summary:  # noqa: ANN401 - any field
    """A summary for Ann."""
    message = shown_message(Standing(entry(id="01m3250v000000000000")), 30 * DAY, ANN)
    whole = Summary("mx.example.org", False, "2026-09-20 06:00", "2026-09-21 06:00", "UTC", 1, (message,))  # noqa: FBT003
    return whole._replace(**changes)


def parsed(message: bytes) -> EmailMessage:
    """The mail as a mail program reads it."""
    found = email.message_from_bytes(message, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def part(message: bytes, kind: str) -> str:
    """The text of one alternative."""
    found = parsed(message).get_body((kind,))
    assert found is not None
    text = found.get_content()
    assert isinstance(text, str)
    return text


def test_the_mail() -> None:
    """The mail has the fields that RFC 5322 and RFC 3834 ask for, and both texts, in lines that every hop takes."""
    message = mail(SENDER, ANN, "summary.2026-09-21", Templates().render(summary()), NOW)
    found = parsed(message)
    assert found["From"] == "Mail quarantine <postmaster@mx.example.org>"
    assert found["To"] == "ann@example.com"
    assert found["Auto-Submitted"] == "auto-generated"
    assert found["Subject"] == "Quarantine: 1 message, 2026-09-21 06:00"
    assert found["Date"].datetime.astimezone(UTC) == datetime.fromtimestamp(NOW, UTC)
    assert re.fullmatch(r"<summary\.2026-09-21\.[0-9a-f]{16}@mx\.example\.org>", found["Message-ID"])
    assert found.get_content_type() == "multipart/alternative"
    assert {"Precedence", "Content-Language"}.isdisjoint(found.keys())
    assert "01m3250v000000000000" in part(message, "plain")
    assert "01m3250v000000000000" in part(message, "html")
    assert message.isascii()
    assert message.endswith(b"--\r\n")
    assert message.replace(b"\r\n", b"").count(b"\n") == message.replace(b"\r\n", b"").count(b"\r") == 0
    assert max(map(len, message.split(b"\r\n"))) <= 200


def test_a_second_copy_has_the_same_message_id() -> None:
    """The Message-ID follows from what the mail is about and from its recipient."""
    texts = Texts("s", "t\n", "<p>t")
    assert (
        parsed(mail(SENDER, ANN, "a", texts, 1))["Message-ID"] == parsed(mail(SENDER, ANN, "a", texts, 2))["Message-ID"]
    )
    assert (
        parsed(mail(SENDER, ANN, "a", texts, 1))["Message-ID"] != parsed(mail(SENDER, BOB, "a", texts, 1))["Message-ID"]
    )


@pytest.mark.parametrize("odd", [b'<"a b"@example.org>', b"<\xc3\xa4@example.org>", b"<a\x00b>", b"<>", b"<a,b@c.de>"])
def test_odd_recipients(odd: bytes) -> None:
    """An address that cannot stand in a header as it is is left to the envelope."""
    assert parsed(mail(SENDER, odd, "a", Texts("s", "t\n", "h"), NOW))["To"] == "undisclosed-recipients:;"


def test_subjects() -> None:
    """A subject is one line, and encoded if it is not ASCII."""
    found = mail(SENDER, ANN, "a", Texts("Grüße\r\nBcc: x " + "ü" * 150, "t\n", "h"), NOW)
    assert parsed(found)["Subject"] == "Grüße Bcc: x " + "ü" * 150
    assert parsed(found)["Bcc"] is None


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("administrator", [False, True])
def test_hostile_values(text: str, *, administrator: bool) -> None:
    """No value of a message gets into a header, ends a text, or is markup, a link or a control character."""
    raw = text.encode()
    hostile = entry(
        id="01m3250v000000000000",
        sender=b"<" + raw + b">",
        recipients=(ANN, b"<" + raw + b">"),
        client_name=text,
        queue_id=text,
        area=text,
        subject=text,
        author=text,
        signature=text,
    )
    message = shown_message(Standing(hostile), 30 * DAY, None if administrator else ANN)
    content = Notice("mx.example.org", administrator, "UTC", message)
    for one in (content, summary(administrator=administrator, messages=(message,))):
        sent = mail(SENDER, ANN, "notice.1", Templates().render(one), NOW)
        assert sorted(parsed(sent).keys()) == sorted(parsed(mail(SENDER, ANN, "x", Texts("s", "t", "h"), NOW)).keys())
        assert [inner.get_content_type() for inner in parsed(sent).walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        plain, page = part(sent, "plain"), part(sent, "html").partition("<body>")[2]
        assert all(character.isprintable() or character in "\r\n" for character in plain + page)
        assert "49" not in plain.replace("0249", "")
        assert set(re.findall(r"<(\w+)", page)) <= {*("h1", "p", "table", "tr", "th", "td", "code", "span")}
        assert re.search(r"(?i)<[^>]*\b(href|src|style|on\w+)\s*=|https?:", page) is None
        assert "evil.com" not in plain + html.unescape(page)


@given(st.text(), st.text(), st.binary(), st.binary(), st.text())
def test_any_value_can_be_shown(subject: str, author: str, sender: bytes, recipient: bytes, signature: str) -> None:
    """No value of a message stops its mail, nor makes it long."""
    hostile = entry(subject=subject, author=author, sender=sender, recipients=(recipient,), signature=signature)
    templates = Templates()
    for own in (None, recipient):
        message = shown_message(Standing(hostile), 30 * DAY, own)
        for one in (Notice("h", own is None, "UTC", message), summary(administrator=own is None, messages=(message,))):
            sent = mail(SENDER, recipient, "notice.1", templates.render(one), NOW)
            assert sent.isascii()
            assert len(sent) < 20_000


def test_a_summary_of_many_is_bounded() -> None:
    """50 messages with the longest values make less than half a megabyte."""
    longest = entry(
        subject="x." * 999, author="\u202e" * 999, sender=b"\xff" * 999, signature="y." * 999, area="z" * 99
    )
    message = shown_message(Standing(longest), 30 * DAY, ANN)
    texts = Templates().render(summary(total=10_000, messages=(message,) * 50))
    assert "9950 older messages are not listed" in texts.text
    assert len(mail(SENDER, ANN, "a", texts, NOW)) < 500_000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"signature": "A.Bc"}, "virus found: A[.]Bc"),
        ({"outcome": Outcome.UNSCANNED, "reason": Limit.ENCRYPTED}, "not scanned: its content is encrypted"),
        ({"outcome": Outcome.UNSCANNED, "reason": None}, "not scanned: for an unknown reason"),
        ({"outcome": Outcome.ERROR, "reason": Fault.CONNECT}, "not scanned: the scan failed"),
        ({"outcome": Outcome.CLEAN, "rule": "macros from outside"}, "rule: macros from outside"),
    ],
)
def test_reasons(changes: dict[str, object], reason: str) -> None:
    """A reader without knowledge of miltscan learns why a message was kept."""
    assert shown_message(Standing(entry(**changes)), DAY).reason == reason


@pytest.mark.parametrize("limit", Limit)
def test_every_limit_has_words(limit: Limit) -> None:
    """No reason of an unscanned message is shown as unknown."""
    assert "unknown" not in shown_message(Standing(entry(outcome=Outcome.UNSCANNED, reason=limit)), DAY).reason


def test_states() -> None:
    """A recipient sees the state for himself, an administrator that of the whole; only what is kept has a last day."""
    released = tuple(Event(NOW, "jo", state, (ANN,)) for state in (State.RELEASING, State.RELEASED))
    standing = Standing(entry(), released)

    def seen(recipient: bytes | None) -> tuple[str, str]:
        shown = shown_message(standing, 30 * DAY, recipient)
        return shown.state, shown.until

    assert seen(ANN) == ("released", "")
    assert seen(BOB) == seen(None) == ("in quarantine", "2026-10-21")


def test_a_recipient_does_not_see_the_others() -> None:
    """Only an administrator sees all recipients, at most ten of them."""
    many = entry(recipients=tuple(b"<r%d@example.org>" % number for number in range(12)))
    own = shown_message(Standing(many), DAY, many.recipients[3])
    assert (own.recipients, own.more_recipients) == (("r3@example[.]org",), 0)
    whole = shown_message(Standing(many), DAY)
    assert (len(whole.recipients), whole.more_recipients) == (10, 2)
    text = Templates().render(Notice("h", administrator=False, zone="UTC", message=own))
    assert "r4@" not in text.text + text.html


def test_templates_of_a_site(tmp_path: Path) -> None:
    """A file of the same name replaces a template of miltscan; the others stay."""
    (tmp_path / "notice.txt").write_text(
        "Subject: Nachricht {{ mail.message.id }}\n\nQuarantäne: {{ mail.message.subject }}\n"
    )
    (tmp_path / "frame.html").write_text("<b>{% block content %}{% endblock %}</b>{% block title %}{% endblock %}")
    found = Templates(str(tmp_path)).render(samples()[0])
    assert found.subject == "Nachricht 01k0sample0123456789"
    assert found.text == "Quarantäne: Sample subject\n"
    assert found.html.startswith("<b>")
    assert problems(str(tmp_path)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Subject: {{ mail.nothing }}\n", "notice.txt: 'Notice object' has no attribute 'nothing'"),
        ("{% if %}", "notice.txt, line 1: Expected an expression, got 'end of statement block'"),
        ('\n{% include "else" %}', "notice.txt: no template else"),
        ("{{ 1 / 0 }}", "notice.txt: division by zero"),
        (b"\xff", "notice.txt: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
    ],
)
def test_broken_templates_of_a_site(tmp_path: Path, text: str | bytes, problem: str) -> None:
    """A template that cannot be used is reported once, by one line, and ours takes its place."""
    (tmp_path / "notice.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    lines = list[str]()
    templates = Templates(str(tmp_path), lines.append)
    for _ in range(2):
        assert templates.render(samples()[0]) == Templates().render(samples()[0])
    assert [line.replace("miltscan.quarantine.shown.", "") for line in lines] == [problem]
    assert problems(str(tmp_path)) == lines


def test_a_folder_that_does_not_exist() -> None:
    """Without the folder the templates of miltscan are used; `notice.templates` is checked elsewhere."""
    assert problems("/nowhere") == []


def test_samples_have_all_values() -> None:
    """What templates are tried on leaves no value empty, and has both audiences."""
    shown = [one for one in samples() if isinstance(one, Notice)]
    assert all(all(one.message) for one in shown)
    assert {one.administrator for one in samples() if not isinstance(one, LateNotice)} == {False, True}
    (late,) = (one for one in samples() if isinstance(one, LateNotice))
    assert all(late)
    assert all(all(one) for one in late.messages)
    assert Shown._fields == type(shown[0].message)._fields


@pytest.mark.parametrize("direction", Direction)
def test_lines_of_text_are_short(direction: Direction) -> None:
    """No line of a text is wider than 80 columns."""
    longest = entry(direction=direction, subject="word " * 50, author="x" * 200, sender=b"y" * 200, signature="z" * 200)
    message = shown_message(Standing(longest), DAY)
    for one in (Notice("h", True, "UTC", message), summary(administrator=True, messages=(message,), total=9)):  # noqa: FBT003
        assert max(map(len, Templates().render(one).text.splitlines())) <= 80
