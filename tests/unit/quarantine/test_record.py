"""The bytes of an entry's files."""

import io
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.receipt import ReceiptResult
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.errors import EntryError
from miltscan.quarantine.entry import Encoding, Event, State
from miltscan.quarantine.record import ENDING, ending, event_line, header, opening, read_events, read_header
from tests.fakes.entries import ENTRY, NOW

STORED = replace(ENTRY, id="01m3250v000000000000", size=3, digest="d" * 64, kept_size=3, kept_digest="k" * 64)


@given(st.binary(max_size=50), st.lists(st.binary(max_size=50)), st.text(max_size=50))
def test_an_entry_returns_as_it_was(sender: bytes, recipients: list[bytes], subject: str) -> None:
    """Any bytes of the envelope and any text survive; what follows is the message."""
    entry = replace(STORED, sender=sender, recipients=tuple(recipients), subject=subject, signature=subject)
    stream = io.BytesIO(header(entry) + b"message")
    assert read_header(stream) == entry
    assert stream.read() == b"message"


@pytest.mark.parametrize("reason", [None, *Limit, *Fault])
def test_every_reason_returns(reason: Limit | Fault | None) -> None:
    """A reason is a limit or a fault, as before."""
    entry = replace(STORED, reason=reason, outcome=Outcome.ERROR, signature=None, encoding=tuple(Encoding))
    assert read_header(io.BytesIO(header(entry))) == entry


@pytest.mark.parametrize("receipt", [None, *ReceiptResult])
def test_the_side_that_stored_it_returns(receipt: ReceiptResult | None) -> None:
    """Only at the delivery side a receipt is checked; an entry that an older version stored says nothing of it."""
    entry = replace(STORED, receipt=receipt)
    text = header(entry)
    assert read_header(io.BytesIO(text)) == entry
    before = text.replace(b'"receipt": null, ', b"")
    assert (before == text) is (receipt is not None)
    assert read_header(io.BytesIO(before)) == entry


@given(st.integers(0, 2**63 - 1), st.text("0123456789abcdef", max_size=64))
def test_the_end_of_the_head_has_a_fixed_length(size: int, digest: str) -> None:
    """Size and digest are filled in later, in the same place."""
    entry = replace(STORED, size=size, kept_size=size, digest=digest, kept_digest=digest)
    assert len(ending(entry)) == ENDING
    assert opening(entry) == opening(STORED)
    assert opening(entry) + ending(entry) == header(entry)


HEAD = header(STORED)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "does not begin as an entry does"),
        (b"From: x\n", "does not begin as an entry does"),
        (b"miltscan-entry 1", "does not begin as an entry does"),
        (b"miltscan-entry 2\n{}\n", "version 2 of the format is unknown to this miltscan"),
        (b"miltscan-entry \x1b[2J\n{}\n", "version ?[2J of the format is unknown to this miltscan"),
        (b"miltscan-entry 1\n", "the description of the message is truncated"),
        (HEAD[:-1], "the description of the message is truncated"),
        (HEAD[:100] + b"\n", "the description of the message cannot be read"),
        (b"miltscan-entry 1\n[]\n", "the description of the message cannot be read"),
        (b"miltscan-entry 1\n{}\n", "the description of the message cannot be read"),
        (b"miltscan-entry 1\n" + b"[" * 100_000 + b"\n", "the description of the message cannot be read"),
        (
            HEAD.replace(b"01m3250v000000000000", b"../../../etc/passwd1"),
            "the description of the message cannot be read",
        ),
        (HEAD.replace(b'"infected"', b'"unknown"'), "the description of the message cannot be read"),
        (HEAD.replace(b'"default"', b"1"), "the description of the message cannot be read"),
        (HEAD.replace(b'"size": 3', b'"size": "x"'), "the description of the message cannot be read"),
        (HEAD.replace(b'"size": 3', b'"size": 1e999'), "the description of the message cannot be read"),
        (HEAD.replace(b'"size": 3', b'"size": -1'), "the description of the message cannot be read"),
        (HEAD.replace(b"1790000000.0", b"NaN"), "the description of the message cannot be read"),
        (HEAD.replace(b"1790000000.0", b"1e15"), "the description of the message cannot be read"),
    ],
)
def test_a_broken_head(data: bytes, expected: str) -> None:
    """Whatever a file begins with, there is one line about it."""
    with pytest.raises(EntryError) as raised:
        read_header(io.BytesIO(data))
    assert str(raised.value) == expected


EVENTS = [
    Event(NOW, "keeper"),
    Event(NOW, "ann", State.RELEASING, (b"<\xff@example.com>",)),
    Event(NOW, "ann", State.RELEASED, queue_id="4B2x", reply="250 2.0.0 accepted", reason="false alarm"),
    Event(NOW, "ann", to=b"<other@example.com>", queue_id="4B2x"),
    Event(NOW, "keeper", State.CLEARED, outcome=Outcome.CLEAN, signatures=27001),
    Event(NOW, "keeper", outcome=Outcome.INFECTED, signature="X", signatures=27001, notice="summary"),
]


def test_events_return_as_they_were() -> None:
    """One line for each event."""
    lines = [event_line(event) for event in EVENTS]
    assert read_events(lines) == tuple(EVENTS)
    assert [line.count(b"\n") for line in lines] == [1] * len(lines)


@given(st.integers(0, 200))
def test_a_torn_line_is_skipped(length: int) -> None:
    """A crash or a full disk can tear the last line only; later events count."""
    line = event_line(EVENTS[2])
    torn = line[:length].strip()
    expected = (EVENTS[2],) if torn == line.strip() else ()
    assert read_events([torn, event_line(EVENTS[0])]) == (*expected, EVENTS[0])


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1",
        b"[]",
        b"{}",
        b'{"time": 1, "by": 2}',
        b'{"time": "x", "by": "a"}',
        b"\xff",
        b'{"time": NaN, "by": "a"}',
        b'{"time": 1e999, "by": "a"}',
        b'{"time": 1e15, "by": "a"}',
        b'{"time": 1, "by": "a", "signatures": 1e999}',
    ],
)
def test_other_lines_are_skipped(line: bytes) -> None:
    """What is not an event has no effect."""
    assert read_events([line]) == ()


@given(st.dictionaries(st.sampled_from(Event._fields), st.none() | st.integers() | st.text() | st.lists(st.integers())))
def test_any_json_is_an_event_or_skipped(data: dict[str, Any]) -> None:
    """No line of JSON raises an exception."""
    import json  # noqa: PLC0415 - only here

    assert len(read_events([json.dumps(data).encode()])) <= 1
