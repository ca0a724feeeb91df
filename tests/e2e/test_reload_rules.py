"""A reload that brings or takes rules between two messages of one SMTP session, with real sendmails and STARTTLS.

sendmail keeps one connection to the filter for the session, so what was negotiated at its begin stays.
"""

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.test_receipt import both_sides, new_key, site
from tests.e2e.test_split import ALIASES, DOMAINS, RULES, VIRTUSERS, entries, kept_since, mailboxes
from tests.harness import client
from tests.harness.auth import PASSWORD, USER, Auth
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

EARLY, BY_USER = "early@example.test", "secret@example.test"
MORE: list[dict[str, Any]] = [
    {"name": "at RCPT", "when": {"recipient": EARLY}, "action": "reject"},
    {
        "name": "by macros",
        "when": {"recipient": BY_USER, "user": "joe*", "tls": True, "daemon": "incoming"},
        "action": "quarantine",
    },
]
RECIPIENTS = [
    *("box@example.test", EARLY, BY_USER, "virtual@example.test", "virtual@refused.example"),
    *("k@kept.example", "d@dropped.example", "x@moved.example", "c@copied.example"),
    *("t@tagged.example", "m@marked.example"),
]
KEPT = [
    ("default", ["k@kept.example"]),
    ("default", [BY_USER]),
    ("refused", [EARLY]),
    ("refused", ["virtual@refused.example"]),
]
RULED = ["boss", "box", "c", "m", "t"]
UNRULED = ["box", "c", "d", "early", "k", "m", "secret", "t", "x"]
"""The mailboxes that have the message with and without rules: `box` is also that of `virtual`."""


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich with AUTH, aliases and virtusertable at incoming, and receipts; no rules, and one worker."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        (folder / "aliases").write_text(ALIASES)
        (folder / "more.m4").write_text(
            f"include(`{folder}/incoming.site.m4')dnl\ndefine(`ALIAS_FILE', `{folder}/aliases')dnl\n"
        )
        places = site(folder, SITE_INCOMING=f"{folder}/more.m4", SITE_DOMAIN=DOMAINS, **Auth.prepare(folder).site)
        chosen = {**both_sides(folder), "milter": {"workers": 1}}
        with ScanningSandwich(folder, chosen, site=places) as sandwich:
            sandwich.incoming.run("-bi")
            sandwich.incoming.make_map("virtusertable", VIRTUSERS)
            yield sandwich


@contextmanager
def connected(sandwich: ScanningSandwich) -> Iterator[smtplib.SMTP]:
    """An SMTP session of a user over TLS."""
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:
        session.starttls(context=Auth(sandwich.folder).client_context)
        session.login(USER, PASSWORD)
        yield session


def in_force(sandwich: ScanningSandwich, rules: list[dict[str, Any]], mode: str = "each") -> None:
    """Reload with these rules; the worker has them somewhat later."""
    tables: dict[str, Any] = {"": {"rule": rules}, "policy": {"recipients": mode}} if rules else {}
    sandwich.miltscan.configure({**both_sides(sandwich.folder), "milter": {"workers": 1}, **tables})
    sandwich.miltscan.reload_and_wait()


def sent(session: smtplib.SMTP, recipients: list[str]) -> tuple[str, dict[str, int], int]:
    """One more message of the session: its Message-ID, who is refused at RCPT, and the last code."""
    message_id = client.new_message_id()
    try:
        refused = session.sendmail(client.SENDER, recipients, client.text_message(message_id))
    except smtplib.SMTPRecipientsRefused as error:
        return message_id, {name: code for name, (code, _) in error.recipients.items()}, 0
    except smtplib.SMTPDataError as error:
        return message_id, {}, error.smtp_code
    return message_id, {name: code for name, (code, _) in refused.items()}, 250


def wait_for(session: smtplib.SMTP, recipient: str, refused: dict[str, int], code: int) -> None:
    """Until a message of the session for this recipient is answered like this."""
    wait_until(lambda: sent(session, [recipient])[1:] == (refused, code), PATIENCE, f"{refused} and {code}")


def test_rules_come_with_a_reload(sandwich: ScanningSandwich) -> None:
    """The open session has all answers at the end of the message, and each recipient has what the rules say."""
    with connected(sandwich) as old:
        before = len(entries(sandwich))
        message_id, refused, code = sent(old, RECIPIENTS)
        assert (refused, code, mailboxes(sandwich, message_id)) == ({}, 250, UNRULED)
        in_force(sandwich, [*MORE, *RULES])
        wait_for(old, EARLY, {}, 550)
        assert kept_since(sandwich, before) == []
        message_id, refused, code = sent(old, RECIPIENTS)
        assert (refused, code, mailboxes(sandwich, message_id)) == ({}, 250, RULED)
        assert sorted(kept_since(sandwich, before)) == KEPT
        found = sandwich.mailbox.find(message_id)
        marks = {name: one.message["X-Rule"] for one in found for name in one.recipients}
        assert marks == dict.fromkeys(RULED) | {"t": "tagged", "m": "marked"}
        before = len(entries(sandwich))
        with connected(sandwich) as new:
            message_id, refused, code = sent(new, RECIPIENTS)
        assert (refused, code, mailboxes(sandwich, message_id)) == ({EARLY: 550}, 250, RULED)
        assert sorted(kept_since(sandwich, before)) == [one for one in KEPT if one[1] != [EARLY]]


def test_rules_go_with_a_reload(sandwich: ScanningSandwich) -> None:
    """The open session still answers each RCPT, nobody is refused, and the message is in all mailboxes."""
    in_force(sandwich, [*MORE, *RULES])
    with connected(sandwich) as old:
        wait_for(old, "user@refused.example", {}, 550)
        with connected(sandwich) as negotiated:
            assert sent(negotiated, RECIPIENTS)[1:] == ({EARLY: 550}, 250)
            sandwich.wait_until_empty()
            before = len(entries(sandwich))
            in_force(sandwich, [])
            wait_for(negotiated, EARLY, {}, 250)
            for session in (negotiated, old):
                message_id, refused, code = sent(session, RECIPIENTS)
                assert (refused, code, mailboxes(sandwich, message_id)) == ({}, 250, UNRULED)
            assert kept_since(sandwich, before) == []


def test_answers_at_rcpt_come_with_a_reload(sandwich: ScanningSandwich) -> None:
    """`split-at-rcpt` needs them: without, the strictest decision applies to all, and their mail is kept or refused."""
    in_force(sandwich, [])
    with connected(sandwich) as old:
        wait_for(old, "user@refused.example", {}, 250)
        in_force(sandwich, RULES, "split-at-rcpt")
        wait_for(old, "user@refused.example", {}, 550)
        before = len(entries(sandwich))
        message_id, refused, code = sent(old, ["box@example.test", "user@kept.example"])
        assert (refused, code, mailboxes(sandwich, message_id)) == ({}, 250, [])
        assert kept_since(sandwich, before) == [("default", ["box@example.test", "user@kept.example"])]
        message_id, refused, code = sent(old, ["box@example.test", "user@refused.example"])
        assert (refused, code, mailboxes(sandwich, message_id)) == ({}, 550, [])
        with connected(sandwich) as new:
            message_id, refused, code = sent(new, ["box@example.test", "user@kept.example"])
        assert (refused, code, mailboxes(sandwich, message_id)) == ({"user@kept.example": 452}, 250, ["box"])
