"""Recipients of one message with different decisions, with real sendmails on both sides: each receives its own."""

import json
import os
import re
import smtplib
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from miltscan.quarantine.entry import Standing
from miltscan.quarantine.files import Files
from tests.e2e.test_receipt import both_sides, new_key, site
from tests.fakes.way import CUT, Way, way_to
from tests.harness import client, preload
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder
from tests.harness.sendmail import Sendmail

DOMAINS = (
    "example.test refused.example kept.example held.example dropped.example moved.example copied.example"
    " tagged.example marked.example late.example"
)
ALIASES = "alias-one: box\nalias-two: box\nalias-three: alias-one\nstaff: box, pigeonhole\n"
VIRTUSERS = "\n".join(
    f"{name}@{domain} {target}"
    for domain in DOMAINS.split()
    for name, target in {"virtual": "box", "to-alias": "alias-one", "away": "somebody@elsewhere.example"}.items()
)
RULES: list[dict[str, Any]] = [  # those that refuse ask for the size, so that they wait for the message
    {"name": "refused", "when": {"recipient": "@refused.example", "size_from": "1B"}, "action": "reject"},
    {"name": "kept", "when": {"recipient": "@kept.example"}, "action": "quarantine"},
    {"name": "held", "when": {"recipient": "@held.example"}, "action": "hold"},
    {"name": "dropped", "when": {"recipient": "@dropped.example"}, "action": "discard"},
    {"name": "moved", "when": {"recipient": "@moved.example"}, "action": "redirect", "to": ["boss@example.test"]},
    {"name": "copied", "when": {"recipient": "@copied.example"}, "action": "copy", "to": ["boss@example.test"]},
    {"name": "late", "when": {"recipient": "@late.example", "size_from": "1B"}, "action": "tempfail"},
    {
        "name": "tagged",
        "when": {"recipient": "@tagged.example"},
        "action": "accept",
        "tag": "[TAG]",
        "add_headers": {"X-Rule": "{rule}"},
        "remove_headers": ["X-Old"],
    },
    {
        "name": "marked",
        "when": {"recipient": "@marked.example"},
        "action": "accept",
        "add_headers": {"X-Rule": "{rule}"},
    },
]


def tables(folder: Path, mode: str = "each", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any table
    """A configuration with the rules."""
    return {**both_sides(folder), "": {"rule": RULES}, "policy": {"recipients": mode}, **more}


@pytest.fixture(scope="module")
def way() -> Iterator[Way]:
    """The way of the copies to the delivery sendmail."""
    with way_to(0) as way:
        yield way


@pytest.fixture(scope="module")
def sandwich(way: Way) -> Iterator[ScanningSandwich]:
    """A sandwich whose incoming side has aliases and a virtusertable, and whose delivery side verifies receipts."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        (folder / "aliases").write_text(ALIASES)
        (folder / "more.m4").write_text(
            f"include(`{folder}/incoming.site.m4')dnl\ndefine(`ALIAS_FILE', `{folder}/aliases')dnl\n"
        )
        places = site(folder, SITE_INCOMING=f"{folder}/more.m4", SITE_DOMAIN=DOMAINS)
        chosen = tables(folder, delivery={"server": f"inet:{way.port}@127.0.0.1"})
        with ScanningSandwich(folder, chosen, site=places) as sandwich:
            way.target = sandwich.delivery.port
            sandwich.incoming.run("-bi")
            sandwich.incoming.make_map("virtusertable", VIRTUSERS)
            yield sandwich


def entries(sandwich: ScanningSandwich) -> list[Standing]:
    """What the quarantine has, oldest first."""
    files = Files(sandwich.folder / "quarantine")
    ids = {*files.waiting(), *(one for day in files.days() for one in files.ids(day))}
    return [files.read(one) for one in sorted(ids)]


def send(sandwich: ScanningSandwich, recipients: Sequence[str], body: bytes = b"Hello\r\n") -> tuple[str, client.Reply]:
    """A message for these recipients; its Message-ID, and the reply."""
    message_id = client.new_message_id()
    return message_id, sandwich.send(client.text_message(message_id, body), recipients=recipients)


def mailboxes(sandwich: ScanningSandwich, message_id: str) -> list[str]:
    """The recipients in whose mailbox the message is, once both queues are empty."""
    sandwich.wait_until_empty()
    return sorted(one for delivered in sandwich.mailbox.find(message_id) for one in delivered.recipients)


KEPT_AND_REMOVED = {
    "two mailboxes": ("box@example.test", "other@refused.example"),
    "one mailbox by virtusertable": ("virtual@example.test", "virtual@refused.example"),
    "a mailbox and virtusertable": ("box@example.test", "virtual@refused.example"),
    "virtusertable and a mailbox": ("virtual@example.test", "box@refused.example"),
    "one alias": ("alias-one@example.test", "alias-one@refused.example"),
    "two aliases for one mailbox": ("alias-two@example.test", "alias-one@refused.example"),
    "an alias and its mailbox": ("alias-one@example.test", "box@refused.example"),
    "a mailbox and its alias": ("box@example.test", "alias-one@refused.example"),
    "an alias of an alias": ("alias-three@example.test", "alias-one@refused.example"),
    "an alias and one that leads to it": ("alias-one@example.test", "alias-three@refused.example"),
    "virtusertable to one alias": ("to-alias@example.test", "to-alias@refused.example"),
    "virtusertable to an alias, and its mailbox": ("to-alias@example.test", "box@refused.example"),
    "a mailbox, and virtusertable to its alias": ("box@example.test", "to-alias@refused.example"),
    "a list and its member": ("staff@example.test", "box@refused.example"),
    "a member and its list": ("box@example.test", "staff@refused.example"),
    "one address elsewhere": ("away@example.test", "away@refused.example"),
}


@pytest.mark.parametrize("order", [1, -1], ids=["kept first", "removed first"])
@pytest.mark.parametrize(("kept", "removed"), KEPT_AND_REMOVED.values(), ids=KEPT_AND_REMOVED)
def test_a_removed_recipient_takes_nobody_along(
    sandwich: ScanningSandwich, kept: str, removed: str, order: int
) -> None:
    """Whatever aliases and virtusertable make of both: each mailbox that has a right to the message has it once."""
    alone, first = send(sandwich, [kept])
    assert first.code == 250, first
    before = len(entries(sandwich))
    message_id, reply = send(sandwich, [kept, removed][::order])
    assert reply.code == 250, reply
    assert mailboxes(sandwich, message_id) == mailboxes(sandwich, alone)
    (new,) = entries(sandwich)[before:]
    assert (new.entry.area, new.entry.recipients) == ("refused", (f"<{removed}>".encode(),))


ODD = (
    "USER@Refused.Example",
    "user+detail@refused.example",
    '"a b"@refused.example',
    '"a\\"b"@refused.example',
    "user%elsewhere.example@refused.example",
    "elsewhere.example!user@refused.example",
    "@relay.example:user@refused.example",
    "user(comment)@refused.example",
    "a.b-c_d=e{f}@refused.example",
)


@pytest.mark.parametrize("odd", ODD)
def test_a_recipient_is_removed_by_any_form_of_its_address(sandwich: ScanningSandwich, odd: str) -> None:
    """As RCPT gave it; otherwise it would receive what is refused."""
    before = len(entries(sandwich))
    message_id = client.new_message_id()
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:
        session.ehlo()
        session.docmd(f"MAIL FROM:<{client.SENDER}>")
        session.docmd("RCPT TO:<box@example.test>")
        code, _ = session.docmd(f"RCPT TO:<{odd}>")
        assert session.data(client.text_message(message_id))[0] == 250
    assert mailboxes(sandwich, message_id) == ["box"]
    assert kept_since(sandwich, before) == ([("refused", [odd])] if code < 300 else [])


def kept_since(sandwich: ScanningSandwich, before: int) -> list[tuple[str, list[str]]]:
    """The area and the recipients of each new entry."""
    return [
        (one.entry.area, [address.decode().strip("<>") for address in one.entry.recipients])
        for one in entries(sandwich)[before:]
    ]


KEEPERS = ("box@example.test", "user@kept.example", "user@dropped.example", "user@refused.example")
CASES: dict[str, tuple[tuple[str, ...], int, list[str], list[tuple[str, list[str]]]]] = {
    "accepted and refused": (
        ("box@example.test", "user@refused.example"),
        250,
        ["box"],
        [("refused", ["user@refused.example"])],
    ),
    "all refused": (("user@refused.example", "b@refused.example"), 550, [], []),
    "kept and dropped": (KEEPERS[1:3], 250, [], [("default", ["user@kept.example"])]),
    "of everything": (
        KEEPERS,
        250,
        ["box"],
        [("default", ["user@kept.example"]), ("refused", ["user@refused.example"])],
    ),
    "one is tempfailed": (("box@example.test", "user@late.example", "user@refused.example"), 451, [], []),
    "redirected": (("user@moved.example",), 250, ["boss"], []),
    "redirected and accepted": (("user@moved.example", "box@example.test"), 250, ["boss", "box"], []),
    "copied": (("user@copied.example",), 250, ["boss", "user"], []),
    "copied and accepted": (("user@copied.example", "box@example.test"), 250, ["boss", "box", "user"], []),
    "tagged, marked and neither": (
        ("box@example.test", "tagged@tagged.example", "marked@marked.example"),
        250,
        ["box", "marked", "tagged"],
        [],
    ),
}


@pytest.mark.parametrize(("recipients", "code", "delivered", "kept"), CASES.values(), ids=CASES)
def test_each_recipient_has_its_decision(
    sandwich: ScanningSandwich,
    recipients: tuple[str, ...],
    code: int,
    delivered: list[str],
    kept: list[tuple[str, list[str]]],
) -> None:
    """What is delivered and what is kept, after the one answer that the client receives."""
    before = len(entries(sandwich))
    message_id, reply = send(sandwich, recipients)
    assert reply.code == code
    assert mailboxes(sandwich, message_id) == delivered
    assert sorted(kept_since(sandwich, before)) == kept


def test_copies_differ_in_their_headers(sandwich: ScanningSandwich) -> None:
    """Each has the edits of its decision, a receipt that the delivery side accepts, and 8-bit bytes as they were."""
    message_id = client.new_message_id()
    text = client.text_message(message_id, "Grüße\r\n.\r\n..\r\n".encode(), "a long\r\n subject")
    message = b"X-Old: yes\r\n" + text
    recipients = ("box@example.test", "t@tagged.example", "m@marked.example")
    assert sandwich.send(message, recipients=recipients).code == 250
    assert mailboxes(sandwich, message_id) == ["box", "m", "t"]
    found = {one.recipients[0]: one for one in sandwich.mailbox.find(message_id)}
    headers = {name: (one.message["X-Rule"], one.message["X-Old"]) for name, one in found.items()}
    assert headers == {"box": (None, "yes"), "t": ("tagged", None), "m": ("marked", "yes")}
    assert [found[name].message["Subject"] for name in ("box", "t")] == [
        "a long\r\n subject",
        "[TAG] a long\r\n subject",
    ]
    for one in found.values():
        assert one.raw.endswith("\r\n\r\nGrüße\r\n.\r\n..\r\n".encode())
        assert one.message["X-Virus-Status"] == "Clean"
        assert "X-Miltscan-Receipt" not in one.message
    lines = sandwich.miltscan.events("message", message_id=message_id)
    assert [line["receipt"] for line in lines if line["receipt"]] == ["valid"] * 3
    assert "(miltscan copy) id " in "".join(found["t"].message.get_all("Received") or ())


NOTIFIED = {
    "a copy": (["box@example.test", "orig@tagged.example"], 1),
    "left alone": (["user@refused.example", "box@example.test"], 1),
    # sendmail has one recipient for a mailbox, with the ORCPT of the first RCPT, also without us
    "added again": (["virtual@refused.example", "virtual@example.test"], 0),
}


@pytest.mark.parametrize(("recipients", "original"), NOTIFIED.values(), ids=NOTIFIED)
def test_the_sender_is_notified_as_it_asked(sandwich: ScanningSandwich, recipients: list[str], original: int) -> None:
    """The last recipient asks for a notice of success: ENVID, RET and ORCPT reach the sendmail that writes it."""
    envelope_id = client.new_message_id().partition("@")[0].strip("<")
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:
        session.ehlo()
        session.mail("asks@example.org", ["RET=HDRS", f"ENVID={envelope_id}"])
        for number, recipient in enumerate(recipients):
            notify = "SUCCESS" if number == len(recipients) - 1 else "NEVER"
            session.rcpt(recipient, [f"NOTIFY={notify}", f"ORCPT=rfc822;original-{number}@example.test"])
        assert session.data(client.text_message(client.new_message_id()))[0] == 250
    sandwich.wait_until_empty()
    notices = [one.raw.decode() for one in sandwich.mailbox.messages() if envelope_id in one.raw.decode("latin-1")]
    assert len(notices) == 1
    assert f"Original-Recipient: rfc822;original-{original}@example.test" in notices[0]
    assert f"original-{1 - original}@example.test" not in notices[0]
    assert "Content-Type: text/rfc822-headers" in notices[0]


def test_the_log_line_has_the_fate_of_each(sandwich: ScanningSandwich) -> None:
    """One line a message, and the queue IDs by which the copies can be found."""
    recipients = ("box@example.test", "user@refused.example", "t@tagged.example")
    message_id, reply = send(sandwich, recipients)
    line = sandwich.miltscan.wait_for_message(queue_id=reply.queue_id)
    assert (line["action"], line["decisions_count"]) == ("accept", 3)
    fates = {
        one["rule"]: (one["recipients"], one["action"], one["area"], bool(one["delivery"])) for one in line["decisions"]
    }
    assert fates == {
        "clean": (["<box@example.test>"], "accept", None, False),
        "refused": (["<user@refused.example>"], "reject", "refused", False),
        "tagged": (["<t@tagged.example>"], "accept", None, True),
    }
    copy = next(one["delivery"] for one in line["decisions"] if one["delivery"])
    assert sandwich.miltscan.wait_for_message(queue_id=copy)["message_id"] == message_id


def test_trace_shows_the_fate_of_each(sandwich: ScanningSandwich) -> None:
    """By the queue ID of the message, or that of a copy."""
    recipients = ("box@example.test", "user@refused.example", "t@tagged.example", "d@dropped.example")
    message_id, reply = send(sandwich, recipients)
    mailboxes(sandwich, message_id)
    line = sandwich.miltscan.wait_for_message(queue_id=reply.queue_id)
    copy = next(one["delivery"] for one in line["decisions"] if one["delivery"])
    logs = [str(sandwich.syslog.file), str(sandwich.miltscan.running.log)]
    for queue_id in (reply.queue_id, copy):
        done = json.loads(in_process("trace", "--json", "--log", logs[0], "--log", logs[1], queue_id).stdout)
        assert {one["recipient"]: one["status"] for one in done["recipients"]} == {
            "<box>": "delivered",
            "<t@tagged.example>": "delivered",
            "<user@refused.example>": "in the quarantine",
            "<d@dropped.example>": "discarded",
        }


def test_who_is_held_does_not_hold_the_others(sandwich: ScanningSandwich) -> None:
    """The message stays in incoming's queue for one recipient; the others receive copies, and the release is his."""
    message_id, reply = send(sandwich, ("box@example.test", "user@held.example", "t@tagged.example"))
    assert reply.code == 250
    control = (sandwich.folder / "mqueue" / f"hf{reply.queue_id}").read_bytes().splitlines()
    assert [line.partition(b":")[2] for line in control if line.startswith(b"R")] == [b"<user@held.example>"]
    assert mailboxes(sandwich, message_id) == ["box", "t"]
    sandwich.incoming.run("-qQ", f"-qI{reply.queue_id}", "-Q")
    sandwich.incoming.run(f"-qI{reply.queue_id}")
    assert mailboxes(sandwich, message_id) == ["box", "t", "user"]


LATER, NEVER = "451 4.3.0 later", "554 5.6.0 never"
"""The faults of the second copy, one an attempt: at RCPT or at the final dot. How often it arrives, and is kept."""
FAULTS: dict[str, tuple[list[tuple[str, str]], int, int]] = {
    "refused later at RCPT": ([("rcpt", LATER)] * 9, 1, 0),
    "refused later at the dot": ([("dot", LATER)] * 9, 1, 0),
    "refused": ([("rcpt", "550 5.1.1 no")], 0, 1),
    "refused at the dot": ([("dot", NEVER)], 0, 1),
    "dies once": ([("dot", CUT)], 2, 0),
    "dies always": ([("dot", CUT)] * 10, 2, 1),
    "later, then never": ([("rcpt", LATER), ("dot", LATER), ("dot", NEVER)], 0, 1),
    "in every way": ([("rcpt", LATER), ("dot", LATER), ("dot", CUT), ("rcpt", LATER), ("dot", CUT)], 2, 1),
}


@pytest.mark.parametrize(("faults", "arrives", "kept"), FAULTS.values(), ids=FAULTS)
def test_nothing_is_lost_or_sent_three_times(
    sandwich: ScanningSandwich, way: Way, faults: list[tuple[str, str]], arrives: int, kept: int
) -> None:
    """The client tries until it receives a 250: the first copy arrives once, the second at most twice."""
    message_id = client.new_message_id()
    message, before = client.text_message(message_id), len(entries(sandwich))
    recipients = ("box@example.test", "first@tagged.example", "second@marked.example", "user@kept.example")
    try:
        for attempt in range(11):
            place, fault = faults[attempt] if attempt < len(faults) else ("", "")
            way.at_rcpt = {"second@marked.example": fault} if place == "rcpt" else {}
            way.at_dot = {"second@marked.example": fault} if place == "dot" else {}
            if sandwich.send(message, recipients=recipients).code == 250:
                break
        else:
            pytest.fail("the client never receives a 250")
    finally:
        way.at_rcpt, way.at_dot = {}, {}
    assert mailboxes(sandwich, message_id) == ["box", "first", *["second"] * arrives]
    expected = [("default", ["user@kept.example"]), *[("refused", ["second@marked.example"])] * kept]
    assert sorted(kept_since(sandwich, before)) == expected


def test_a_delivery_sendmail_that_is_down_is_a_tempfail(sandwich: ScanningSandwich) -> None:
    """Nothing is stored and nothing is delivered; the log says why, and the next attempt succeeds."""
    before = len(entries(sandwich))
    sandwich.delivery.stop()
    try:
        message_id, reply = send(sandwich, ("box@example.test", "t@tagged.example", "user@refused.example"))
    finally:
        sandwich.delivery.start()
        sandwich.delivery.wait_ready()
    assert (reply.code, reply.text.split(" (")[0]) == (451, "4.3.0 Message could not be handed over, try again later")
    assert kept_since(sandwich, before) == []
    (line,) = sandwich.miltscan.events("message", message_id=message_id)
    (failure,) = sandwich.miltscan.events("copy_fails", queue_id=line["queue_id"])
    assert failure["why"].startswith("copies: no reply from port ")
    assert mailboxes(sandwich, message_id) == []


def test_a_reload_between_two_messages_of_one_connection(sandwich: ScanningSandwich) -> None:
    """Rules and mode of the configuration in force at MAIL decide; what was negotiated suffices."""
    recipients = ("box@example.test", "user@refused.example")
    before = sandwich.miltscan.configuration.read_text()
    with smtplib.SMTP("127.0.0.1", sandwich.incoming.port) as session:

        def code() -> int:
            message = client.text_message(client.new_message_id())
            try:
                assert session.sendmail(client.SENDER, recipients, message) == {}
            except smtplib.SMTPDataError as refused:
                return refused.smtp_code
            return 250

        assert code() == 250
        sandwich.miltscan.configuration.write_text(before.replace('"each"', '"strictest"'))
        sandwich.miltscan.reload()
        wait_until(lambda: code() == 550, PATIENCE, "the new mode in force")
        sandwich.miltscan.configuration.write_text(before)
        sandwich.miltscan.reload()
        wait_until(lambda: code() == 250, PATIENCE, "the former mode in force")


@pytest.fixture
def at_rcpt(sandwich: ScanningSandwich) -> Iterator[ScanningSandwich]:
    """The sandwich with `split-at-rcpt`, which is negotiated with each connection."""
    before = sandwich.miltscan.configuration.read_text()
    sandwich.miltscan.configuration.write_text(before.replace('"each"', '"split-at-rcpt"'))
    sandwich.wait_until_empty()  # the delivery side would refuse without miltscan what incoming hands over
    sandwich.miltscan.stop()
    sandwich.start_miltscan()
    yield sandwich
    sandwich.miltscan.configuration.write_text(before)
    sandwich.miltscan.stop()
    sandwich.start_miltscan()


def test_recipients_of_another_class_come_later(at_rcpt: ScanningSandwich) -> None:
    """They receive 452 4.5.3 at RCPT; the others receive the message, and nothing is copied."""
    before, message_id = len(entries(at_rcpt)), client.new_message_id()
    with smtplib.SMTP("127.0.0.1", at_rcpt.incoming.port) as session:
        recipients = ["box@example.test", "user@kept.example", "t@tagged.example", "other@example.test"]
        refused = session.sendmail(client.SENDER, recipients, client.text_message(message_id))
    assert {name: code for name, (code, _) in refused.items()} == {"user@kept.example": 452, "t@tagged.example": 452}
    assert refused["t@tagged.example"][1].startswith(b"4.5.3 ")
    assert mailboxes(at_rcpt, message_id) == ["box", "other"]
    assert kept_since(at_rcpt, before) == []


def reaches(sandwich: ScanningSandwich, message_id: str, number: int) -> bool:
    """Whether the message is in so many mailboxes."""
    return len(mailboxes(sandwich, message_id)) == number


def test_a_sendmail_as_client_sends_to_all(at_rcpt: ScanningSandwich) -> None:
    """Each queue run brings the message to one more class."""
    client_cf = at_rcpt.folder / "client.cf"
    queue = at_rcpt.folder / "mqueueclient"
    queue.mkdir(mode=0o700)
    text = at_rcpt.delivery.configuration.read_text()
    text = re.sub(rf"(?m)^(.*TCP \S+ ){at_rcpt.mailbox.port}$", rf"\g<1>{at_rcpt.incoming.port}", text)
    text = text.replace(f"C{{w}}{DOMAINS}", "C{w}client.example.org")  # it delivers nothing itself
    client_cf.write_text(text.replace(str(at_rcpt.delivery.queue), str(queue)))
    sendmail = Sendmail(at_rcpt.programs, "client", 0)
    message_id = client.new_message_id()
    recipients = ["box@example.test", "t@tagged.example", "m@marked.example"]
    environment = {**os.environ, **preload.environment(at_rcpt.folder)}
    command = [*sendmail.command("-odq", "-f", client.SENDER, "-i"), *recipients]
    subprocess.run(command, input=client.text_message(message_id), check=True, capture_output=True, env=environment)
    for attempt in (1, 2, 3):
        sendmail.run("-q")
        wait_until(partial(reaches, at_rcpt, message_id, attempt), PATIENCE, f"{attempt} mailboxes")
    wait_until(lambda: not [*queue.glob("qf*")], PATIENCE, "an empty queue of the client")
    assert mailboxes(at_rcpt, message_id) == ["box", "m", "t"]
