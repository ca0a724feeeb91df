"""Recipients of one message with different decisions, with real sendmails on both sides: each receives its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from miltscan.quarantine.entry import Standing
from miltscan.quarantine.files import Files
from tests.e2e.test_receipt import both_sides, new_key, site
from tests.harness import client
from tests.harness.miltscan import ScanningSandwich
from tests.harness.sandwich import private_folder

DOMAINS = "example.test refused.example kept.example held.example dropped.example moved.example copied.example"
ALIASES = "alias-one: box\nalias-two: box\nalias-three: alias-one\nstaff: box, pigeonhole\n"
VIRTUSERS = "\n".join(
    f"{name}@{domain} {target}"
    for domain in DOMAINS.split()
    for name, target in {"virtual": "box", "to-alias": "alias-one", "away": "somebody@elsewhere.example"}.items()
)
RULES: list[dict[str, Any]] = [
    {"name": "refused", "when": {"recipient": "@refused.example"}, "action": "reject"},
    {"name": "kept", "when": {"recipient": "@kept.example"}, "action": "quarantine"},
    {"name": "held", "when": {"recipient": "@held.example"}, "action": "hold"},
    {"name": "dropped", "when": {"recipient": "@dropped.example"}, "action": "discard"},
    {"name": "moved", "when": {"recipient": "@moved.example"}, "action": "redirect", "to": ["boss@example.test"]},
    {"name": "copied", "when": {"recipient": "@copied.example"}, "action": "copy", "to": ["boss@example.test"]},
]


def tables(folder: Path, mode: str = "each") -> dict[str, Any]:
    """A configuration with the rules."""
    return {**both_sides(folder), "": {"rule": RULES}, "policy": {"recipients": mode}}


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich whose incoming side has aliases and a virtusertable, and whose delivery side verifies receipts."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        (folder / "aliases").write_text(ALIASES)
        (folder / "more.m4").write_text(
            f"include(`{folder}/incoming.site.m4')dnl\ndefine(`ALIAS_FILE', `{folder}/aliases')dnl\n"
        )
        places = site(folder, SITE_INCOMING=f"{folder}/more.m4", SITE_DOMAIN=DOMAINS)
        with ScanningSandwich(folder, tables(folder), site=places) as sandwich:
            sandwich.incoming.run("-bi")
            sandwich.incoming.make_map("virtusertable", VIRTUSERS)
            yield sandwich


def entries(sandwich: ScanningSandwich) -> list[Standing]:
    """What the quarantine has, oldest first."""
    files = Files(sandwich.folder / "quarantine")
    ids = {*files.waiting(), *(one for day in files.days() for one in files.ids(day))}
    return [files.read(one) for one in sorted(ids)]


def send(sandwich: ScanningSandwich, recipients: Sequence[str]) -> tuple[str, client.Reply]:
    """A message for these recipients; its Message-ID, and the reply."""
    message_id = client.new_message_id()
    return message_id, sandwich.send(client.text_message(message_id), recipients=recipients)


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
    alone, _ = send(sandwich, [kept])
    before = len(entries(sandwich))
    message_id, reply = send(sandwich, [kept, removed][::order])
    assert reply.code == 250
    assert mailboxes(sandwich, message_id) == mailboxes(sandwich, alone)
    (new,) = entries(sandwich)[before:]
    assert (new.entry.area, new.entry.recipients) == ("refused", (f"<{removed}>".encode(),))
