"""Facts for the log: only those that rules read, and what is read back is what was known."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config.load import parse_settings
from miltscan.core.attachments import Attachment, of_type
from miltscan.core.file_types import FileType
from miltscan.core.lookup import Check, Source
from miltscan.core.message import Circumstances
from miltscan.core.noted import HEADERS_NOTED, Noted, notes_on, read_notes
from miltscan.core.rules import Rules
from miltscan.core.structure import Structure
from miltscan.core.text import readable
from miltscan.scanning.assemble import rules_for
from tests.fakes.messages import message

KNOWN = Circumstances(user="alice", tls_version="TLSv1.3", daemon="MSA")


def no_source(_text: str, _check: Check) -> Source:
    """None is named here."""
    raise AssertionError


def rules(when: str) -> Rules:
    """A rule with these conditions."""
    text = f'[[rule]]\nname = "r"\naction = "accept"\nwhen = {{ {when} }}'
    return rules_for(parse_settings(text.encode(), "f"), no_source, verifies=False)


@pytest.mark.parametrize(
    ("when", "notes"),
    [
        ('outcome = "clean"', []),
        ('user = "*"', ["user=alice"]),
        ("tls = true", ["tls=true"]),
        ('daemon = "MSA", tls = false', ["tls=true", "daemon=MSA"]),
        (
            'header = { "List-Id" = "*", "X-None" = "*" }',
            ["header=list-id: a\n\tb", "header=list-id: c", "header=x-none"],
        ),
    ],
)
def test_what_is_noted(when: str, notes: list[str]) -> None:
    """Nothing that no rule reads."""
    one = message(circumstances=KNOWN, headers=[(b"List-Id", b" a\n\tb"), (b"list-id", b" c"), (b"Subject", b" x")])
    assert [*notes_on(rules(when), one)] == notes


@pytest.mark.parametrize(
    ("fields", "noted"),
    [
        ({"circumstances": KNOWN._replace(user="a" * 201)}, Noted(tls=True, headers={b"x-a": []})),
        ({"circumstances": KNOWN._replace(user="", tls_version="")}, Noted("", tls=False, headers={b"x-a": []})),
        ({"headers": [(b"X-A", b" " + b"a" * 200)]}, Noted("", tls=False)),
        ({"headers": [(b"X-A", b" a")] * (HEADERS_NOTED + 1)}, Noted("", tls=False)),
        ({"headers": [(b"X-A", b" a\\b")]}, Noted("", tls=False)),
        ({"circumstances": KNOWN._replace(user="a\x1b")}, Noted(tls=True, headers={b"x-a": []})),
        ({"headers": [(b"X-A", b" a: b=c")]}, Noted("", tls=False, headers={b"x-a": [b" a: b=c"]})),
    ],
)
def test_what_is_read_back(fields: dict[str, Any], noted: Noted) -> None:
    """What is long or frequent is unknown, not cut."""
    notes = [*notes_on(rules('user = "*", tls = true, header = { "X-A" = "*" }'), message(**fields))]
    assert read_notes(notes) == noted


def attached(*attachments: Attachment) -> list[str]:
    """The notes on a message with these attachments, for rules that read them."""
    structure = Structure(plain=True, sampled=False, anomalies=(), seconds=0.0, attachments=attachments, depth=3)
    return [*notes_on(rules('attachment = "*.exe"'), message(structure=structure))]


def test_attachments_are_read_back() -> None:
    """With what follows from name and type; a message without any is known, too."""
    exe, nameless = of_type(("invoice.pdf.exe",), FileType.EXE), of_type((), FileType.PDF)
    notes = attached(exe, nameless)
    assert notes == ["attachment=exe:invoice.pdf.exe", "attachment=pdf:", "attachments=2", "depth=3"]
    assert read_notes(notes).attachments == (exe, nameless)
    assert read_notes(attached()).attachments == ()
    assert read_notes([*notes_on(rules('outcome = "clean"'), message())]).attachments is None


@pytest.mark.parametrize(
    "attachments",
    [
        [of_type(("a.exe",), FileType.EXE)] * 11,
        [of_type(("a.exe", "b.txt"), FileType.EXE)],
        [of_type(("a\\.exe",), FileType.EXE)],
        [of_type(("a\u202e.exe",), FileType.EXE)],
        [of_type(("a" * 201,), FileType.EXE)],
    ],
)
def test_attachments_that_are_not_noted_completely_are_unknown(attachments: list[Attachment]) -> None:
    """Many of them, a second name, or a name that the log does not have as it is."""
    assert read_notes(attached(*attachments)).attachments is None


@pytest.mark.parametrize(
    "notes",
    [
        ["attachment=exe:a", "attachments=2"],
        ["attachment=of a later version:a", "attachments=1"],
        ["attachment=exe:long…", "attachments=1"],
        ["attachment", "attachments=1"],
    ],
)
def test_notes_that_the_log_has_cut_say_nothing_of_attachments(notes: list[str]) -> None:
    """What is missing could be what a rule looks for."""
    assert read_notes(notes).attachments is None


@pytest.mark.parametrize(("note", "depth"), [("depth=0", 0), ("depth=3", 3), ("depth=", None), ("depth=-1", None)])
def test_the_depth_is_read_back(note: str, depth: int | None) -> None:
    """Where it is not noted it is unknown, as in the log of an older version."""
    assert read_notes([note]).depth == depth
    assert read_notes([]).depth is None
    assert read_notes(["depth=" + "9" * 5000]).depth is None
    assert read_notes(attached()).depth == 3


@given(st.lists(st.text(max_size=20)))
def test_any_notes_can_be_read(notes: list[str]) -> None:
    """The log may hold anything."""
    read_notes(notes)


@pytest.mark.parametrize("value", [b" a\n b", b" a\n\tb", b" a\x01\x1bb", "\u202eä\U000e0001".encode()])
def test_a_value_that_the_log_has_with_escapes(value: bytes) -> None:
    """A folded header, and one with control characters, is read back as it was."""
    notes = notes_on(rules('header = { "X-A" = "*" }'), message(headers=[(b"X-A", value)]))
    assert read_notes([*map(readable, notes)]).headers == {b"x-a": [value]}


@pytest.mark.parametrize(
    "notes",
    [
        ["header=x-a: b", "header=x-a: c…"],
        ["header=x-a: b", "header=x-…"],
        ["user=ali…", "daemon=M…"],
    ],
)
def test_what_the_log_has_shortened(notes: list[str]) -> None:
    """It is unknown, with the other values of that header."""
    assert read_notes(notes) == Noted()
