"""The header edits of rules with real sendmails: what users find, and that the receipt holds for message and copies."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_receipt import arrivals, both_sides, line, new_key, site, through
from tests.harness.client import RECIPIENT
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

EDITS: dict[str, dict[str, Any]] = {
    "insert": {"add_headers": {"X-Sort": "{rule}, {sender}"}},
    "replace": {"add_headers": {"X-Own": "{outcome}"}},
    "remove": {"remove_headers": ["x-own", "X-Missing"]},
    "tag": {"tag": "[{outcome}]"},
    "all": {"add_headers": {"X-Sort": "a", "X-Other": "b"}, "remove_headers": ["X-Own"], "tag": "[{rule}]"},
}
OTHER = "other@example.test"
RULES = [
    {"name": "second", "when": {"header": {"X-Edits": "copy"}, "recipient": OTHER}, "action": "accept", **EDITS["all"]},
    *({"name": name, "when": {"header": {"X-Edits": name}}, "action": "accept", **EDITS[name]} for name in EDITS),
]
OWN = b"X-Own: a\r\n\tb\r\nx-own: c\r\n"


@pytest.fixture(scope="module")
def sandwich() -> Iterator[ScanningSandwich]:
    """A sandwich with the rules, whose delivery side verifies receipts."""
    with private_folder() as folder:
        (folder / "keys.toml").write_text(f"keys.file = '{folder}/keys'\nspool.directory = '{folder}'\n")
        new_key(folder, "first")
        with ScanningSandwich(folder, {**both_sides(folder), "": {"rule": RULES}}, site=site(folder)) as sandwich:
            yield sandwich


def fields(raw: bytes, name: bytes) -> list[bytes]:
    """The values of a field in the mailbox, folds included."""
    head, _, _ = raw.partition(b"\r\n\r\n")
    return re.findall(rb"^%b:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)" % name, head, re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize(
    ("edits", "own", "sort"),
    [
        ("insert", [b" a\r\n\tb", b" c"], [b" insert, <insert@example.org>"]),
        ("replace", [b" clean"], []),
        ("remove", [], []),
        ("all", [], [b" a"]),
    ],
)
def test_the_receipt_holds_after_each_kind_of_edit(
    sandwich: ScanningSandwich, edits: str, own: list[bytes], sort: list[bytes]
) -> None:
    """The delivery side scans nothing again, and the mailbox has the rule's headers and none of the sender's."""
    head = f"X-Edits: {edits}\r\nSubject: hello\r\n".encode()
    delivered = through(sandwich, edits, head + OWN, b"x\r\n")
    assert (fields(delivered.raw, b"X-Own"), fields(delivered.raw, b"X-Sort")) == (own, sort)
    assert fields(delivered.raw, b"Subject") == [b" [all] hello" if edits == "all" else b" hello"]
    assert line(sandwich, edits)["receipt"] == "valid"


SUBJECTS: dict[str, tuple[bytes, list[bytes]]] = {
    "folded": (b"Subject: a\r\n\tb\r\n  c\r\n", [b" [clean] a\r\n\tb\r\n  c"]),
    "encoded": (
        b"Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?w7w=?=\r\n",
        [b" [clean] =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?B?w7w=?="],
    ),
    "utf-8": ("Subject: Grüße, “schöne”\r\n".encode(), [" [clean] Grüße, “schöne”".encode()]),
    "latin-1": (b"Subject: Gr\xfc\xdfe\r\n", [" [clean] Grüße".encode()]),
    "c1": (b"Subject: \x93x\x94\r\n", [b" [clean] \xc2\x93x\xc2\x94"]),
    "missing": (b"", [b" [clean]"]),
    "empty": (b"Subject:\r\n", [b" [clean]"]),
    "two": (b"Subject: one\r\nsubject: two\r\n", [b" [clean] one", b" two"]),
    "tagged": (b"Subject: [clean] hello\r\n", [b" [clean] hello"]),
    "long": (b"Subject: " + b"x" * 985 + b"\r\n", [b" [clean]\r\n " + b"x" * 985]),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_tag_of_each_kind_of_subject(sandwich: ScanningSandwich, name: str) -> None:
    """Of the subject nothing is lost, and the receipt holds."""
    head, expected = SUBJECTS[name]
    delivered = through(sandwich, name, b"X-Edits: tag\r\n" + head, b"x\r\n")
    assert fields(delivered.raw, b"Subject") == expected
    assert line(sandwich, name)["receipt"] == "valid"


@pytest.mark.parametrize("subject", [b"hello", "Grüße".encode()], ids=["seven", "eight"])
def test_the_receipt_of_a_copy_holds(sandwich: ScanningSandwich, subject: bytes) -> None:
    """Two recipients, one of whom has edits: the copy and the message pass, each with its own headers."""
    name = "copy-seven" if subject.isascii() else "copy-eight"
    head = f"X-Name: {name}\r\nX-Edits: copy\r\n".encode() + b"Subject: " + subject + b"\r\n" + OWN
    sender = f"{name}@example.org"
    assert sandwich.send(head + b"\r\nx\r\n", sender=sender, recipients=[RECIPIENT, OTHER]).code == 250
    wait_until(lambda: len(arrivals(sandwich, name)) == 2, PATIENCE, "both in their mailboxes")
    found = {tuple(one.recipients): fields(one.raw, b"Subject") for one in arrivals(sandwich, name)}
    assert found == {("recipient",): [b" " + subject], ("other",): [b" [second] " + subject]}
    receipts = [one["receipt"] for one in sandwich.miltscan.events("message", sender=f"<{sender}>")]
    assert sorted(map(str, receipts)) == ["None", "valid", "valid"]
