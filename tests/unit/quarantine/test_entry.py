"""IDs and states of entries."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.verdict import Outcome
from miltscan.quarantine.entry import (
    LENGTH,
    TRANSITIONS,
    Event,
    Standing,
    State,
    day_of,
    first_id,
    is_entry_id,
    is_prefix,
    new_id,
    time_of,
)
from tests.fakes.entries import ANN, BOB, DAY, ENTRY, NOW

TIMES = st.integers(0, 253_402_300_799_999).map(lambda milliseconds: milliseconds / 1000)


def event(state: State | None, *recipients: bytes, to: bytes = b"") -> Event:
    """An event of the keeper."""
    return Event(NOW, "keeper", state, recipients, to)


def test_an_id() -> None:
    """An ID has 20 characters: 10 of the time, 10 of the random bits."""
    assert new_id(NOW, bytes(7)) == "01m3250v000000000000"
    assert new_id(NOW, b"\xff" * 7) == "01m3250v00zzzzzzzzzz"
    assert day_of(new_id(NOW, bytes(7))) == DAY


@given(TIMES, TIMES, st.binary(min_size=7, max_size=7), st.binary(min_size=7, max_size=7))
def test_ids_sort_by_time(earlier: float, later: float, one: bytes, other: bytes) -> None:
    """Of two IDs that of the later millisecond is higher, whatever the random bits are."""
    first, second = new_id(earlier, one), new_id(later, other)
    if int(earlier * 1000) < int(later * 1000):
        assert first < second


@given(TIMES, st.binary(min_size=7, max_size=7))
def test_time_and_day_follow_from_the_id(now: float, random: bytes) -> None:
    """Every ID is valid, and has the time and the UTC day at which it was made."""
    made = new_id(now, random)
    assert is_entry_id(made)
    assert abs(time_of(made) - now) < 0.002
    assert day_of(made) == datetime.fromtimestamp(int(now * 1000) / 1000, UTC).strftime("%Y-%m-%d").rjust(10, "0")
    assert first_id(now) <= made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0" * 19,
        "0" * 21,
        "../../../etc/passwd1",
        "01M2G5CVC00000000000",
        "zzzzzzzzzzzzzzzzzzzz",
        "0" * 19 + "\n",
    ]
    + ["0" * 19 + letter for letter in "ilou/.\0é"],
)
def test_what_is_no_id(text: str) -> None:
    """IDs come from users: nothing else may become a path."""
    assert not is_entry_id(text)


@pytest.mark.parametrize(("text", "expected"), [("", False), ("01m", True), ("0" * LENGTH, True), ("0" * 21, False)])
def test_prefixes(text: str, expected: bool) -> None:  # noqa: FBT001 - the expected result
    """A prefix is not empty, and not longer than an ID."""
    assert is_prefix(text) is expected


def test_every_state_has_its_transitions() -> None:
    """Nothing follows a deletion, and every other state can be reached and left."""
    assert set(TRANSITIONS) == set(State)
    assert {state for state in State if not TRANSITIONS[state]} == {State.DELETED}
    assert set().union(*TRANSITIONS.values()) == set(State)


def test_a_new_entry_is_stored_for_all() -> None:
    """Without events every recipient's mail is stored."""
    assert Standing(ENTRY).states == {ANN: State.STORED, BOB: State.STORED}
    assert Standing(ENTRY).state is State.STORED


def test_states_follow_from_events() -> None:
    """An event changes the recipients that it names, all if it names none, and only as the table allows."""
    standing = Standing(
        ENTRY,
        (
            event(State.RELEASED),  # never claimed: changes nothing
            event(State.RELEASING, ANN),
            event(State.RELEASED, ANN, b"<eve@example.net>"),
            event(State.CLEARED),  # only what is still stored
            event(State.RELEASING, BOB, to=b"<other@example.com>"),  # a copy for another address
            event(None),
        ),
    )
    assert standing.states == {ANN: State.RELEASED, BOB: State.CLEARED}
    assert standing.state is State.CLEARED


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ((State.RELEASING, State.RELEASED), State.RELEASING),
        ((State.DELETED,), State.STORED),
        ((State.DELETED, State.DELETED), State.DELETED),
        ((State.CLEARED, State.CLEARED), State.CLEARED),
    ],
)
def test_the_state_of_the_whole(states: tuple[State, ...], whole: State) -> None:
    """The whole entry has the state with the most left to do."""
    path = {State.RELEASED: (State.RELEASING, State.RELEASED)}
    events = [
        event(step, recipient)
        for recipient, state in zip((ANN, BOB), states, strict=False)
        for step in path.get(state, (state,))
    ]
    assert Standing(ENTRY, tuple(events)).state is whole


def test_the_last_scan() -> None:
    """A rescan replaces the result of the scan at arrival."""
    assert Standing(ENTRY).scan == (Outcome.INFECTED, "Heuristics.Phishing.Email", 27000)
    events = [Event(NOW, "keeper", outcome=Outcome.INFECTED, signature="Other", signatures=27001), event(State.CLEARED)]
    assert Standing(ENTRY, tuple(events)).scan == (Outcome.INFECTED, "Other", 27001)
