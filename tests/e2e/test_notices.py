"""Notices and summaries through a real delivery sendmail that verifies receipts, whoever is killed."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from miltscan.quarantine.entry import Entry
from miltscan.quarantine.files import Files
from miltscan.quarantine.lock import KeeperLock
from tests.e2e.test_receipt import both_sides, new_key, site
from tests.fakes.entries import put
from tests.harness import messages
from tests.harness.client import RECIPIENT
from tests.harness.mailbox import Delivered
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

ADMINISTRATOR, OTHER = "root@example.test", "other@example.test"
MANY = [f"r{number}@example.test" for number in range(40)]


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich that quarantines infected mail and sends notices; its delivery side verifies receipts."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        with ScanningSandwich(folder, tables(folder, notice="both"), site=site(folder)) as sandwich:
            yield sandwich


def tables(folder: Path, summary_at: str = "06:00", **area: str) -> dict[str, dict[str, Any]]:
    """Miltscan for both sides, with mails of the area."""
    return {
        **both_sides(folder),
        "policy": {"on_infected": "quarantine"},
        "notice": {"administrators": [ADMINISTRATOR], "sender": "filter@example.test", "summary_at": summary_at},
        "quarantine.area.default": dict(area),
    }


def files(sandwich: ScanningSandwich) -> Files:
    """The quarantine of the service."""
    return Files(sandwich.folder / "quarantine")


def mails(sandwich: ScanningSandwich, word: str) -> list[Delivered]:
    """The mails in the mailbox with this word in the subject."""
    return [one for one in sandwich.mailbox.messages() if word in str(one.message["Subject"])]


def read(delivered: Delivered) -> EmailMessage:
    """A mail as its reader sees it."""
    found = message_from_bytes(delivered.raw, policy=policy.default)
    assert isinstance(found, EmailMessage)
    return found


def to(delivered: Delivered) -> str:
    """The address in To:."""
    return str(read(delivered)["To"])


def test_a_notice_passes_by_its_receipt(sandwich: ScanningSandwich) -> None:
    """Recipients and administrators receive a notice of a quarantined message, which no engine scans."""
    reply = sandwich.send(messages.as_wire(messages.infected()), recipients=[RECIPIENT, OTHER])
    wait_until(lambda: len(mails(sandwich, "quarantine")) == 3, PATIENCE, "three notices")
    found = mails(sandwich, "quarantine")
    assert sorted(map(to, found)) == [OTHER, RECIPIENT, ADMINISTRATOR]
    (entry,) = entries(sandwich)
    assert entry.queue_id in reply.text
    for one in found:
        mail = read(one)
        assert mail["Return-Path"] == "<MAILER-DAEMON>"  # how the local mailer calls the empty sender
        assert mail["From"] == "Mail quarantine <filter@example.test>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert [to(one).partition("@")[0]] == one.recipients  # the local mailer removes the host
        assert mail["X-Miltscan-Receipt"] is None
        assert mail["X-Virus-Status"] is None
        for kind in ("plain", "html"):
            body = mail.get_body((kind,))
            assert body is not None
            assert entry.id in body.get_content()
    passed = sandwich.miltscan.events("message", sender="<>", receipt="valid", outcome="unscanned", action="accept")
    assert len(passed) == len(sandwich.miltscan.events("message", sender="<>")) == 3
    assert sandwich.miltscan.events("mail_failed") == []


def entries(sandwich: ScanningSandwich) -> list[Entry]:
    """All entries."""
    found = files(sandwich)
    ids = {*found.waiting(), *(one for day in found.days() for one in found.ids(day))}
    return [found.read(one).entry for one in sorted(ids)]


def test_summaries_of_a_keeper_that_is_killed(sandwich: ScanningSandwich) -> None:
    """Killed again and again, the keeper sends each recipient one summary, but for those that it was just sending."""
    sandwich.miltscan.stop()
    for number, recipient in enumerate(MANY):
        content = b"Subject: %d\r\n\r\n" % number
        put(files(sandwich), content, time=time.time() - 7200, recipients=(f"<{recipient}>".encode(),))
    at = datetime.fromtimestamp(time.time() - 300).astimezone().strftime("%H:%M")
    sandwich.miltscan.configure(tables(sandwich.folder, at, summary="recipients"))
    sandwich.start_miltscan()
    lock = KeeperLock(sandwich.folder / "quarantine")
    killed = [""]  # the file names a dead keeper until the next one has the lock
    for share in (4, 3, 2):
        wait_for_summaries(sandwich, len(MANY) // share)
        wait_until(lambda: lock.owner() not in killed, PATIENCE, "a keeper that runs")
        killed.append(lock.owner())
        os.kill(int(killed[-1]), signal.SIGKILL)
    wait_until(lambda: steps(sandwich)[-1] is None, PATIENCE, "the end of the summaries")
    sandwich.wait_until_empty()
    arrived = Counter(map(to, summaries(sandwich)))
    assert set(arrived.values()) == {1}
    assert len(MANY) - len(killed[1:]) <= len(arrived) <= len(MANY)
    assert arrived.keys() <= set(MANY)


def wait_for_summaries(sandwich: ScanningSandwich, number: int) -> None:
    """Returns when so many summaries are in the mailbox."""
    wait_until(lambda: len(summaries(sandwich)) >= number, PATIENCE, f"{number} summaries")


def summaries(sandwich: ScanningSandwich) -> list[Delivered]:
    """The summaries in the mailbox."""
    return mails(sandwich, "Quarantine: ")


def steps(sandwich: ScanningSandwich) -> list[str | None]:
    """The steps in the journal of the last day."""
    (path,) = (sandwich.folder / "quarantine" / "summaries").iterdir()
    return [json.loads(line).get("step") for line in path.read_text().splitlines()[1:]]


def test_nothing_is_sent_again(sandwich: ScanningSandwich) -> None:
    """Without its index, after a start, the service sends only what is new."""
    before = len(sandwich.mailbox.messages())
    sandwich.miltscan.stop()
    for file in (sandwich.folder / "quarantine").glob("index.sqlite*"):
        file.unlink()
    sandwich.miltscan.configure(tables(sandwich.folder, notice="recipients", summary="recipients"))
    sandwich.start_miltscan()
    sandwich.send(messages.as_wire(messages.infected()), recipients=["last@example.test"])
    wait_until(lambda: "last@example.test" in map(to, sandwich.mailbox.messages()), PATIENCE, "the new notice")
    assert len(sandwich.mailbox.messages()) == before + 1


def test_infected_mail_of_our_own_alerts_the_postmaster(sandwich: ScanningSandwich) -> None:
    """An area of its own, whose notices go to administrators; its recipients are strangers, who learn nothing."""
    rule = {
        "name": "infected mail of our own",
        "when": {"outcome": "infected", "direction": ["outbound", "submission"]},
        "action": "quarantine:outbound",
    }
    outbound = {"quarantine.area.outbound": {"notice": "administrators"}}
    sandwich.run_with({**tables(sandwich.folder), "policy": {}, "": {"rule": [rule]}, **outbound})
    before = len(sandwich.mailbox.messages())
    virus = messages.as_wire(messages.infected())
    assert sandwich.send(virus).code == 550
    assert sandwich.send(virus, recipients=["someone@elsewhere.example"]).code == 250
    wait_until(lambda: len(sandwich.mailbox.messages()) > before, PATIENCE, "the notice")
    sandwich.wait_until_empty()
    (notice,) = sandwich.mailbox.messages()[before:]
    assert to(notice) == ADMINISTRATOR
    line = sandwich.miltscan.wait_for_message(rule=rule["name"])
    assert (line["direction"], line["action"], line["area"]) == ("outbound", "quarantine", "outbound")
    body = read(notice).get_body(("plain",))
    assert body is not None
    assert line["entry"] in body.get_content()
