"""Entries as text: what a person reads of them fits the terminal, is complete enough to act, and controls nothing."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from miltscan.commands.quarantine_view import entry_fields, entry_text, event_text, next_step, row_fields, rows_text
from miltscan.core.verdict import Limit, Outcome
from miltscan.quarantine.entry import Encoding, Event, Standing, State
from miltscan.quarantine.tables import RecipientRow, Row, Stored, entry_row
from tests.fakes.entries import ANN, BOB, NOW, entry

ID = "01kf9ww400abcdefghjk"
HOSTILE = "\x1b[2J\x9b31m\u202e\x7f日本語"
pytestmark = pytest.mark.usefixtures("utc")


def standing(*events: Event, **changes: object) -> Standing:
    """An entry with these values and events."""
    return Standing(entry(id=ID, size=30_211, digest="ab" * 32, **changes), events)


def row(*events: Event, **changes: object) -> Row:
    """The row of such an entry."""
    found = standing(*events, **changes)
    fields = entry_row(Stored(found, 31_000))
    known = {name: fields[name] for name in Row.__slots__ if name in fields}
    recipients = tuple(RecipientRow(one.decode()[1:-1], state) for one, state in found.states.items())
    return Row(**{**known, "state": State(known["state"]), "recipients": recipients, "duplicate_of": None})


def test_an_entry_shows_what_an_administrator_asks() -> None:
    """What it is, what was found, who waits for it, what happened, and the command that releases it."""
    found = standing(
        Event(NOW + 60, "anna", State.RELEASING, (ANN,)),
        Event(NOW + 61, "anna", State.STORED, (ANN,), reply="550 5.1.1 <ann@example.com>... User unknown"),
        Event(NOW + 89, "anna", State.RELEASING, (BOB,)),
        Event(NOW + 90, "anna", State.RELEASED, (BOB,), queue_id="4B2y", reply="250 2.0.0 4B2y", reason="ticket 7"),
    )
    assert (
        "\n".join(entry_text(found, NOW + 30 * 86400, 80))
        == f"""{ID}
  state       stored
  received    2026-09-21 14:13:20
  detected    Heuristics.Phishing.Email (clamd, signatures 27000)
  action      quarantine, by rule on_infected
  area        default, deleted after 2026-10-21 14:13
  from        Sender <sender@client.example>
  subject     hello
  sender      sender@client.example
  client      client.example [192.0.2.1], inbound
  queue ID    4B1x
  Message-ID  <1@client.example>
  size        30 KiB
  SHA-256     {"ab" * 32}

STATE     QUEUE ID  RECIPIENT
stored              ann@example.com
released  4B2y      bob@example.org

History:
  2026-09-21 14:13:20  kept
  2026-09-21 14:14:21  not released for ann@example.com, by anna: 550 5.1.1
                       <ann@example.com>... User unknown
  2026-09-21 14:14:50  released for bob@example.org as 4B2y, by anna (reason:
                       ticket 7)

To release it:
  miltscan quarantine release {ID} --infected --reason TEXT"""
    )


def test_what_an_entry_does_not_have_is_left_out() -> None:
    """No empty facts; a limit is named with its outcome; of many recipients the first ones are listed."""
    addresses = tuple(b"<user%d@example.org>" % number for number in range(10_000))
    event = Event(NOW, "keeper", State.CLEARED, outcome=Outcome.CLEAN, signatures=27001)
    changes = {"outcome": Outcome.UNSCANNED, "reason": Limit.ENCRYPTED, "signature": None, "signatures": 0}
    found = standing(event, recipients=addresses, subject="", message_id=b"", sender=b"<>", **changes)
    text = "\n".join(entry_text(found, None, 80))
    assert "  detected   unscanned: encrypted (clamd)\n  last scan  clean (signatures 27001)\n" in text
    assert "  area       default\n" in text
    assert "  sender     <>\n" in text
    assert "\n  subject" not in text
    assert "\n  Message-ID" not in text
    assert "\ncleared  user19@example.org\nand 9,980 more recipients: 9,980 cleared (--json lists all)\n" in text


def test_an_encoding_is_shown() -> None:
    """An administrator sees that the message is encrypted, and how much room it takes."""
    found = standing(encoding=(Encoding.ZSTD, Encoding.AGE), kept_size=10_000)
    assert "  size        30 KiB, kept as 9.8 KiB (zstd, age)" in [*entry_text(found, None, 80)]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (Event(NOW, "anna", State.RELEASING, (ANN, BOB)), "release begins, by anna"),
        (Event(NOW, "anna", State.RELEASED, (ANN,), queue_id="4B2y"), "released for ann@example.com as 4B2y, by anna"),
        (Event(NOW, "anna", State.STORED, reply="450 later"), "not released, by anna: 450 later"),
        (Event(NOW, "anna", State.CLEARED, (ANN,), reply="450"), "not released for ann@example.com, by anna: 450"),
        (Event(NOW, "anna", State.RELEASED, to=b"<x@y>", queue_id="4B3"), "sent to x@y as 4B3, by anna"),
        (Event(NOW, "anna", to=b"<x@y>", reply="550 no"), "not sent to x@y, by anna: 550 no"),
        (Event(NOW, "keeper", State.DELETED), "deleted, by keeper"),
        (Event(NOW, "keeper", outcome=Outcome.INFECTED, signature="X.Y"), "scanned again: X.Y, by keeper"),
        (
            Event(NOW, "keeper", State.CLEARED, outcome=Outcome.CLEAN, signatures=5),
            "scanned again: clean (signatures 5), by keeper",
        ),
        (Event(NOW, "keeper", notice="recipients"), "notice sent: recipients, by keeper"),
        (Event(NOW, ""), "changed"),
    ],
)
def test_events(event: Event, text: str) -> None:
    """What happened, for whom, by whom and why."""
    assert event_text(event, entry()) == text


def test_an_event_of_several_recipients_names_one() -> None:
    """There may be thousands of them."""
    event = Event(NOW, "anna", State.RELEASED, (ANN, BOB), queue_id="4B2y")
    shown = event_text(event, entry(recipients=(ANN, BOB, b"<c@d>")))
    assert shown == "released for ann@example.com and 1 more as 4B2y, by anna"


@pytest.mark.parametrize(
    ("state", "outcome", "text"),
    [
        (State.STORED, Outcome.UNSCANNED, f"To release it:\n  miltscan quarantine release {ID}"),
        (
            State.STORED,
            Outcome.INFECTED,
            f"To release it:\n  miltscan quarantine release {ID} --infected --reason TEXT",
        ),
        (State.CLEARED, Outcome.CLEAN, f"To release it:\n  miltscan quarantine release {ID}"),
        (State.RELEASING, Outcome.CLEAN, "It is being released."),
        (State.RELEASED, Outcome.CLEAN, f"To release it again:\n  miltscan quarantine release {ID} --again"),
        (
            State.RELEASED,
            Outcome.INFECTED,
            f"To release it again:\n  miltscan quarantine release {ID} --again --infected --reason TEXT",
        ),
    ],
)
def test_the_next_step(state: State, outcome: Outcome, text: str) -> None:
    """The command as it has to be typed."""
    way = {State.RELEASED: [State.RELEASING]}.get(state, [])
    events = [Event(NOW, "anna", one) for one in (*way, state)] if state is not State.STORED else []
    assert "\n".join(next_step(standing(*events, outcome=outcome))) == text


def test_a_list() -> None:
    """Below each entry are envelope and subject; a column for the area is there only if there are several."""
    many = tuple(b"<user%d@example.org>" % number for number in range(10_000))
    rows = [
        row(),
        row(Event(NOW, "k", State.CLEARED, outcome=Outcome.CLEAN), subject="", sender=b"<>", recipients=(ANN,)),
        row(recipients=many, sender=b"<%b@example.org>" % (b"a" * 100), signature="x" * 90, subject="日" * 900),
    ]
    assert (
        "\n".join(rows_text(rows, 80))
        == f"""\
ID                    RECEIVED          STATE    DETECTED
{ID}  2026-09-21 14:13  stored   Heuristics.Phishing.Email
  from sender@client.example to ann@example.com and 1 more
  hello
{ID}  2026-09-21 14:13  cleared  clean
  from <> to ann@example.com
  (no subject)
{ID}  2026-09-21 14:13  stored   xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
  from aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa… to user0@example.org and 9,999 more
  {"日" * 38}…"""
    )
    assert next(rows_text([row(), row(area="refused")], 80)).split() == ["ID", "RECEIVED", "STATE", "AREA", "DETECTED"]


@given(text=st.text(alphabet=HOSTILE + "a ", max_size=1200), width=st.integers(60, 200))
def test_nothing_hostile_and_nothing_too_wide(text: str, width: int) -> None:
    """Whatever the sender wrote, in text for a person and in JSON."""
    data = text.encode("utf-8", "surrogateescape")
    changes = {"subject": text, "author": text, "sender": b"<%b>" % data, "recipients": (data, data + b"2")}
    given = {**changes, "message_id": data, "client_name": text, "signature": text, "queue_id": text[:40]}
    event = Event(NOW, text[:64], State.STORED, reply=text, reason=text)
    lines = [*entry_text(standing(event, **given), None, width), *rows_text([row(event, **given)], width)]
    assert [line for line in lines if cell_len(line) > width and "quarantine release" not in line] == []
    assert all(line.isprintable() for line in lines)
    assert json.dumps([entry_fields(standing(event, **given)), row_fields(row(event, **given))]).isascii()


def test_fields_of_an_entry() -> None:
    """For programs: every fact and event, times in UTC, addresses without angle brackets."""
    event = Event(NOW + 1, "anna", State.RELEASED, (ANN,), queue_id="4B2y", reply="250 ok")
    found = entry_fields(standing(event))
    assert (found["id"], found["time"], found["state"]) == (ID, "2026-09-21T14:13:20.000+00:00", "stored")
    assert found["recipients"] == [
        {"recipient": "ann@example.com", "state": "stored"},
        {"recipient": "bob@example.org", "state": "stored"},
    ]
    assert found["events"] == [
        {
            "time": "2026-09-21T14:13:21.000+00:00",
            "by": "anna",
            "state": "released",
            "recipients": ["ann@example.com"],
            "queue_id": "4B2y",
            "reply": "250 ok",
        }
    ]


def test_fields_of_a_row() -> None:
    """The names are those of an entry, where both have the field."""
    of_row, of_entry = row_fields(row()), entry_fields(standing())
    assert of_row.keys() - of_entry.keys() == {"changed", "disk", "duplicate_of", "reply"}
    shared = of_row.keys() & of_entry.keys()
    assert {name: of_row[name] for name in shared} == {name: of_entry[name] for name in shared}


def test_a_duplicate_is_marked() -> None:
    """A client that sent the message again after a reply was lost makes a second entry."""
    shown = [*rows_text([replace(row(), duplicate_of=ID, subject="x" * 90)], 80)]
    assert shown[3] == f"  {'x' * 40}…  (duplicate of {ID})"
    assert len(shown[3]) <= 80


def test_a_row_shows_the_reason_of_a_scan_without_a_signature() -> None:
    """A limit or a fault says why the message was kept."""
    shown = [*rows_text([replace(row(), signature=None, outcome="unscanned", reason="encrypted")], 80)]
    assert shown[1].endswith("unscanned: encrypted")
