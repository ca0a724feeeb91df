"""`policy explain` and `policy replay` after real mail through both sendmails: they say what was done."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_receipt import both_sides, new_key, site
from tests.fakes.eicar import EICAR
from tests.harness import client
from tests.harness.commands import in_process
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

BOX, REFUSED, TAGGED, EARLY = (f"{name}@example.test" for name in ("box", "refused", "tagged", "early"))
PARTNER = "anna@partner.example"
RULES: list[dict[str, Any]] = [
    {"name": "at RCPT", "when": {"recipient": EARLY}, "action": "reject"},
    {"name": "seen", "when": {"size_from": "1B"}, "action": "reject", "enforce": False},
    {
        "name": "partner",
        "when": {"sender": "@partner.example", "outcome": "infected"},
        "action": "quarantine:macros",
    },
    {
        "name": "lists",
        "when": {"header": {"List-Id": "*<news.example.org>"}},
        "unless": {"outcome": "infected"},
        "action": "accept",
        "add_headers": {"X-Rule": "{rule}, {size}"},
        "remove_headers": ["X-Old"],
        "tag": "[LIST]",
    },
    {"name": "held", "when": {"header": {"X-Hold": "*"}}, "action": "hold"},
    {"name": "moved", "when": {"header": {"X-Move": "*"}}, "action": "redirect", "to": ["boss@example.test"]},
    {"name": "copied", "when": {"header": {"X-Copy": "*"}}, "action": "copy", "to": ["boss@example.test"]},
    {"name": "dropped", "when": {"header": {"X-Drop": "*"}}, "action": "discard:dropped"},
    {
        "name": "large",
        "when": {"size_from": "100KiB", "client": "127.0.0.0/8"},
        "action": "reject",
        "code": "552 5.3.4",
    },
    {"name": "later", "when": {"sender": "<>", "size_from": "1B"}, "action": "tempfail", "text": "Later, {recipient}"},
    {"name": "refused", "when": {"recipient": REFUSED, "size_from": "1B"}, "action": "reject", "text": "Not for you"},
    {"name": "tagged", "when": {"recipient": TAGGED}, "action": "accept", "add_headers": {"X-Rule": "{recipient}"}},
    {"name": "local programs", "when": {"outcome": "infected"}, "at": "delivery", "action": "quarantine:local"},
]
AREAS: dict[str, dict[str, Any]] = {f"quarantine.area.{name}": {} for name in ("macros", "dropped", "local")}


@dataclass(frozen=True)
class Sample:
    """A message, and what is done for each of its recipients: rule, action as `explain` names it."""

    fates: Mapping[str, tuple[str, str]]
    body: bytes = b"Hello\r\n"
    headers: bytes = b""
    sender: str = client.SENDER


SAMPLES = {
    "clean": Sample({BOX: ("clean", "accept")}),
    "infected": Sample({BOX: ("policy.on_infected", "reject")}, EICAR),
    "of the partner": Sample({BOX: ("partner", "quarantine:macros")}, EICAR, sender=PARTNER),
    "of the list": Sample({BOX: ("lists", "accept")}, headers=b"List-Id: N <news.example.org>\r\nX-Old: a\r\n"),
    "infected, of the list": Sample(
        {BOX: ("policy.on_infected", "reject")}, EICAR, b"list-id:\r\n <news.example.org>\r\n"
    ),
    "held": Sample({BOX: ("held", "hold (miltscan: Clean [held])")}, headers=b"X-Hold: 1\r\n"),
    "moved": Sample({BOX: ("moved", "redirect to boss@example.test")}, headers=b"X-Move: 1\r\n"),
    "copied": Sample({BOX: ("copied", "copy to boss@example.test")}, headers=b"X-Copy: 1\r\n"),
    "dropped": Sample({BOX: ("dropped", "discard:dropped")}, headers=b"X-Drop: 1\r\n"),
    "large": Sample({BOX: ("large", "reject")}, b"x" * 70 + b"\r\n" + (b"x" * 70 + b"\r\n") * 2000),
    "bounce": Sample({BOX: ("later", "tempfail")}, sender=""),
    "all refused": Sample({REFUSED: ("refused", "reject")}),
    "each": Sample({BOX: ("clean", "accept"), REFUSED: ("refused", "reject"), TAGGED: ("tagged", "accept")}),
    "denied": Sample({BOX: ("list.deny", "reject")}, sender="spam@denied.example"),
}


@dataclass(frozen=True)
class Sent:
    """A sample that was sent: its reply, and the line about it."""

    sample: Sample
    message_id: str
    reply: client.Reply
    line: Mapping[str, Any]


@dataclass(frozen=True)
class Done:
    """The sandwich after all samples, by name."""

    sandwich: ScanningSandwich
    sent: dict[str, Sent] = field(default_factory=dict)

    def run(self, *arguments: str | Path, config: Path | None = None, status: int = 0) -> Any:  # noqa: ANN401 - JSON
        """A command with --json, and its result."""
        place = ["--config", str(config or self.sandwich.miltscan.configuration)]
        done = in_process(*arguments, "--json", *place)
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout)

    @property
    def log(self) -> Path:
        """The log of miltscan."""
        return self.sandwich.miltscan.running.log


@pytest.fixture(scope="module")
def done() -> Iterator[Done]:
    """A sandwich with the rules of both sides, a denied sender, and all samples sent."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        chosen = {**both_sides(folder), "": {"rule": RULES}, **AREAS}
        with ScanningSandwich(folder, chosen, site=site(folder)) as sandwich:
            made = Done(sandwich)
            deny(sandwich, "@denied.example")
            for name, sample in SAMPLES.items():
                made.sent[name] = send(sandwich, sample)
            sandwich.wait_until_empty()
            yield made


def deny(sandwich: ScanningSandwich, sender: str) -> None:
    """An entry of the deny list that all workers have read."""
    config = ["--config", str(sandwich.miltscan.configuration)]
    before = len(sandwich.miltscan.events("lists_read"))
    in_process("deny", sender, "--reason", "test", *config).check_returncode()
    expected = before + len(sandwich.miltscan.workers())  # of both sides
    wait_until(lambda: len(sandwich.miltscan.events("lists_read")) >= expected, PATIENCE, "the new lists")


def send(sandwich: ScanningSandwich, sample: Sample) -> Sent:
    """Send a sample to its recipients."""
    message_id = client.new_message_id()
    message = sample.headers + client.text_message(message_id, sample.body)
    reply = sandwich.send(message, sender=sample.sender, recipients=[*sample.fates])
    return Sent(sample, message_id, reply, sandwich.miltscan.wait_for_message(message_id=message_id, receipt=None))


def fates(explained: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Rule and action of each recipient."""
    return {one["recipient"].strip("<>"): (one["rule"], one["action"]) for one in explained["recipients"]}


@pytest.mark.parametrize("name", SAMPLES)
def test_explain_says_what_was_done(done: Done, name: str) -> None:
    """By the queue ID in the log: rule, action, reply, observed rules, and the headers that the mailbox has."""
    sent = done.sent[name]
    explained = done.run("policy", "explain", sent.line["queue_id"], "--log", done.log)
    assert fates(explained) == sent.sample.fates
    assert explained["side"] == "incoming"
    if sent.reply.code != 250:
        assert [one["reply"] for one in explained["recipients"]] == [str(sent.reply)]
        assert explained["then"] == f"{sent.reply}, by rule {sent.line['rule']}"
    if not sent.line["list"]:
        assert {tuple(one["observed"]) for one in explained["recipients"]} == {tuple(sent.line["observed"])}
    for one in explained["recipients"]:
        recipient = one["recipient"].strip("<>").partition("@")[0]
        found = [mail.raw for mail in done.sandwich.mailbox.find(sent.message_id) if mail.recipients == [recipient]]
        assert len(found) == one["action"].startswith(("accept", "copy"))
        assert [edit for edit in one["edits"] for mail in found if not was_made(edit, mail)] == []


def was_made(edit: str, mail: bytes) -> bool:
    """Whether the message in the mailbox has, or has not, what an edit says."""
    verb, _, what = edit.partition(" ")
    head = mail.partition(b"\r\n\r\n")[0] + b"\r\n"
    match verb:
        case "adds":
            return f"\r\n{what}\r\n".encode() in head
        case "puts":
            return f"\r\nSubject: {what.removesuffix(' before the subject')} ".encode() in head
        case "removes":
            return f"\r\n{what.split(',')[0]}:".encode() not in head
    return False


def test_explain_says_what_was_logged_for_each(done: Done) -> None:
    """The line has the decisions of a message whose recipients differ, and `explain` the same."""
    sent = done.sent["each"]
    logged = {
        recipient.strip("<>"): (one["rule"], one["action"])
        for one in sent.line["decisions"]
        for recipient in one["recipients"]
    }
    assert logged == fates(done.run("policy", "explain", sent.line["queue_id"], "--log", done.log))


@pytest.mark.parametrize("name", ["of the partner", "dropped", "each"])
def test_explain_says_why_an_entry_was_stored(done: Done, name: str) -> None:
    """By its ID in the quarantine, for the recipients of the entry."""
    sent = done.sent[name]
    entry = sent.line["entry"] or next(one["entry"] for one in sent.line["decisions"] if one["entry"])
    explained = done.run("policy", "explain", entry)
    kept = {REFUSED} if name == "each" else {BOX}
    assert fates(explained) == {one: fate for one, fate in sent.sample.fates.items() if one in kept}


def test_explain_knows_the_side(done: Done) -> None:
    """A virus that comes to the delivery sendmail without a receipt is decided by the rules of that side."""
    message_id = client.new_message_id()
    client.send(done.sandwich.delivery.port, client.text_message(message_id, EICAR), recipients=[BOX])
    line = done.sandwich.miltscan.wait_for_message(message_id=message_id)
    explained = done.run("policy", "explain", line["queue_id"], "--log", done.log)
    assert (explained["side"], fates(explained)) == ("delivery", {BOX: ("local programs", "quarantine:local")})
    assert (line["rule"], line["area"]) == ("local programs", "local")


def replayed(done: Done, rules: list[dict[str, Any]], *more: str | Path) -> Any:  # noqa: ANN401 - JSON
    """The result of a candidate with these rules; that of the running service stays as it is."""
    miltscan, candidate = done.sandwich.miltscan, done.sandwich.folder / "candidate.toml"
    in_force = miltscan.configuration.read_text()
    miltscan.configure({**both_sides(done.sandwich.folder), "": {"rule": rules}, **AREAS})
    candidate.write_text(miltscan.configuration.read_text())
    miltscan.configuration.write_text(in_force)
    return done.run("policy", "replay", "--policy", candidate, *more)


def test_replay_of_the_rules_in_force_changes_nothing(done: Done) -> None:
    """Each message of incoming is decided as it was, and entries count once; lists and receipts are left out."""
    found = replayed(done, RULES, "--log", done.log)
    lines = done.sandwich.miltscan.events("message")
    ours = [line for line in lines if line["receipt"] is None and line["list"] is None]
    assert len(ours) == len(SAMPLES) - 1
    same = len(ours) + len(done.sandwich.miltscan.events("recipient_refused"))
    assert (found["same"], found["changed"], found["undecided"]) == (same, 0, 0)
    assert found["left_out"] == len(lines) - len(ours)


def test_replay_names_what_would_change(done: Done) -> None:
    """Without one rule, exactly its messages would have another fate."""
    found = replayed(done, [one for one in RULES if one["name"] != "partner"], "--log", done.log)
    queue_id = done.sent["of the partner"].line["queue_id"]
    expected = {
        "messages": 1,
        "action": "quarantine:macros",
        "rule": "partner",
        "new_action": "reject",
        "new_rule": "policy.on_infected",
        "examples": [queue_id],
    }
    assert (found["changed"], found["undecided"], found["changes"]) == (1, 0, [expected])


def test_replay_counts_what_it_cannot_know(done: Done) -> None:
    """A header that no rule has read is not in the log, but in the entries of the quarantine."""
    rule = {"name": "new", "when": {"header": {"X-Drop": "*", "X-Never": "*"}}, "action": "reject"}
    found = replayed(done, [rule, *RULES], "--log", done.log)
    assert found["missing"] == {"headers": found["undecided"]}
    assert found["changed"] == 0


def test_replay_of_the_quarantine_alone(done: Done, tmp_path: Path) -> None:
    """Where the log has been rotated away, entries are decided again with all of their headers."""
    empty = tmp_path / "empty.log"
    empty.touch()
    found = replayed(done, RULES, "--log", empty)
    stored = [line for line in done.sandwich.miltscan.events("message") if line["area"] and line["receipt"] is None]
    assert (found["same"], found["changed"], found["undecided"]) == (len(stored) + 1, 0, 0)
    without = [one for one in RULES if one["name"] != "dropped"]
    (change,) = replayed(done, without, "--log", empty)["changes"]
    assert (change["rule"], change["new_rule"], change["messages"]) == ("dropped", "clean", 1)


def test_explain_and_replay_know_who_was_refused_at_rcpt(done: Done) -> None:
    """There is no message, and the rule that refused its only recipient decides here, too."""
    before = replayed(done, RULES, "--log", done.log)
    reply = done.sandwich.send(client.text_message(client.new_message_id()), recipients=[EARLY])
    (line,) = done.sandwich.miltscan.events("recipient_refused")
    explained = done.run("policy", "explain", line["queue_id"], "--log", done.log)
    assert fates(explained) == {EARLY: ("at RCPT", "reject")}
    assert str(reply) == explained["recipients"][0]["reply"].replace("5.7.1 ", f"5.7.1 <{EARLY}>... ")
    found = replayed(done, RULES, "--log", done.log)
    assert (found["refused_recipients"], found["same"]) == (1, before["same"] + 1)
    without = replayed(done, RULES[1:], "--log", done.log)
    assert (without["changed"], without["undecided"]) == (0, 1)
