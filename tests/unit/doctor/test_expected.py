"""What `doctor --send` expects, and rules that let the test signature pass."""

from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.lists import ListName
from miltscan.core.verdict import Verdict
from miltscan.doctor.expected import expectation, passing_findings
from miltscan.scanning.listfile import ListFile
from tests.fakes.list_entries import listed

MESSAGE = b"Subject: test\r\n\r\nbody\r\n"


def settings(rule: str, lists: str = "") -> Settings:
    """Settings with one rule."""
    text = f'lists.file = "{lists}"\n' + (f'[[rule]]\nname = "r"\n{rule}\n' if rule else "")
    return parse_settings(text.encode(), "f")


@pytest.mark.parametrize(
    ("rule", "clean", "infected"),
    [
        ("", "clean", "policy.on_infected"),
        ('action = "reject"', "r", "r"),
        ('when = { recipient = "root@b.test" }\naction = "accept"', "r", "r"),
        ('when = { class = "Test" }\naction = "discard"', "clean", "r"),
        ('when = { header = { "Subject" = "test" }, sender = "<>" }\naction = "tempfail"', "r", "r"),
        ('when = { signature = "Win.*" }\naction = "accept"', "clean", None),
        ('when = { daemon = "MSA" }\naction = "accept"', None, None),
    ],
)
def test_what_is_expected(rule: str, clean: str | None, infected: str | None) -> None:
    """What depends on the port, or on the name of the signature, is not known before."""
    found = expectation(settings(rule), "root@b.test")
    one, other = found.decision(MESSAGE, Verdict.clean("clamd")), found.infected(MESSAGE)
    assert (one.rule if one else None, other.rule if other else None) == (clean, infected)


def test_the_lists_are_asked(tmp_path: Path) -> None:
    """An entry decides before rules."""
    file = tmp_path / "lists.jsonl"
    ListFile(file).add(listed("deny", "", sender="<>"))
    found = expectation(settings('action = "accept"', str(file)), "root@b.test")
    decision = found.decision(MESSAGE, Verdict.clean("clamd"))
    assert decision
    assert decision.rule == f"list.{ListName.DENY}"


@pytest.mark.parametrize(
    ("rule", "warned"),
    [
        ("", False),
        ('when = { outcome = "infected" }\naction = "reject"', False),
        ('action = "accept"', True),
        ('when = { class = "Test" }\naction = "quarantine"', True),
        ('when = { sender = "@partner.example" }\naction = "accept"', False),
    ],
)
def test_a_rule_that_lets_the_test_signature_pass(rule: str, warned: bool) -> None:  # noqa: FBT001 - a table
    """A test with it would prove nothing."""
    found = passing_findings(settings(rule))
    assert [one.level for one in found] == ["warning"] * warned
