"""Traces of real logs, compared with golden files; links that a hostile server tries to make."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from miltscan.sandwich.logfiles import Logs
from miltscan.trace import follow as traces
from miltscan.trace.follow import Trace, find
from miltscan.trace.recipients import DeliveryStatus
from miltscan.trace.timeline import as_text, trace_fields

GOLDEN = Path(__file__).parents[2] / "corpus" / "logs"
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def logs(*names: str) -> Logs:
    """The logs with these names in the golden folder."""
    return Logs([GOLDEN / name for name in names], journal=False)


def in_sandwich(subject: str) -> list[Trace]:
    """The traces in the log of a real sandwich."""
    return find(subject, logs("mail.log", "miltscan.log").matching, NOW).traces


def in_lines(subject: str, *lines: str) -> list[Trace]:
    """The traces in these log lines, to which a time is added."""

    def read(texts: Sequence[bytes]) -> Iterable[bytes]:
        dated = [f"Nov 22 16:00:00 mx sm-mta[{number}]: {line}".encode() for number, line in enumerate(lines)]
        return (line for line in dated if any(text in line for text in texts))

    return find(subject, read, NOW).traces


CASES = {
    "delivered": ("6AMG9F89004499", ("mail.log", "miltscan.log")),
    "three-recipients": ("6AMG9Fm7004503", ("mail.log", "miltscan.log")),
    "rejected": ("6AMG9F8X004513", ("mail.log", "miltscan.log")),
    "tempfailed": ("6AMG9G7c004571", ("mail.log", "miltscan.log")),
    "no-milter": ("6AMG9Hl2004590", ("mail.log", "miltscan.log")),
    "relaying-denied": ("6AMG9GnU004569", ("mail.log", "miltscan.log")),
    "bare-linefeed": ("6AMG9G18004570", ("mail.log", "miltscan.log")),
    "deferred-then-delivered": ("6AMG9Ivd004601", ("mail.log", "miltscan.log")),
    "failed": ("6AMG9Lxs004627", ("mail.log", "miltscan.log")),
    "many-recipients": ("6AMG9FM0004507", ("mail.log", "miltscan.log")),
    "hostile-sender": ("6AMG9FPA004544", ("mail.log", "miltscan.log")),
    "8.14": ("m2Q8K2Ab009530", ("mail-8.14.log",)),
    "8.18": ("6AMFA0kL000702", ("mail-8.18.log",)),
    "journal": ("6AMG9F89004499", ("journal.export",)),
    "owner-alias": ("6ARA01aa002794", ("owner-alias.log",)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.usefixtures("utc")
def test_timeline(name: str) -> None:
    """The text of a trace is equal to the golden file."""
    subject, files = CASES[name]
    text = "\n\n".join(map(as_text, find(subject, logs(*files).matching, NOW).traces))
    assert f"{text}\n" == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.usefixtures("utc")
def test_fields() -> None:
    """The output of --json is equal to the golden file."""
    (found,) = in_sandwich("6AMG9Lxs004627")
    assert json.loads(json.dumps(trace_fields(found))) == json.loads((GOLDEN / "failed.json").read_text())


@pytest.mark.parametrize("subject", ["6AMG9F89004499", "6AMG9FSt004502"])
def test_either_queue_id_finds_the_trace(subject: str) -> None:
    """The queue ID of either sendmail finds the same trace."""
    (found,) = in_sandwich(subject)
    assert found.queue_ids == ("6AMG9F89004499", "6AMG9FSt004502")
    assert found == in_sandwich("6AMG9F89004499")[0]


@pytest.mark.parametrize(
    ("message_id", "queue_id"),
    [
        ("<4322770c76be4097badf2909be051129@example.org>", "6AMG9F89004499"),
        ("4322770c76be4097badf2909be051129@example.org", "6AMG9F89004499"),
        (f"<{'a' * 300}@example.org>", "6AMG9FEf004521"),
        ("<a, size=3, stat=Sent (x@example.org>", "6AMG9FTa004527"),
        ("no brackets, relay=evil, stat=Sent", "6AMG9FW2004532"),
    ],
)
def test_message_id(message_id: str, queue_id: str) -> None:
    """A Message-ID may lack brackets and may be long or odd; sendmail logs 100 characters."""
    assert [found.queue_ids[0] for found in in_sandwich(message_id)] == [queue_id]


@pytest.mark.parametrize("subject", ["6AMG9F89999999", "<no@such>", "", "\x1b\udcff"])
def test_not_in_the_logs(subject: str) -> None:
    """A message that is not in the logs has no trace."""
    assert in_sandwich(subject) == []


def test_each_message_with_a_message_id_has_its_trace() -> None:
    """A client's next attempt has the same Message-ID and another queue ID."""
    found = in_lines(
        "<a@b>",
        "6AMG00aa000001: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<a@b>, relay=x",
        "6AMG00aa000001: Milter: data, reject=451 4.7.1 later",
        "6AMG00aa000002: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<a@b>, relay=x",
        "6AMG00aa000002: to=<r@y>, delay=00:00:00, dsn=2.0.0, stat=Sent",
    )
    assert [one.status for one in found] == [DeliveryStatus.TEMPFAILED, DeliveryStatus.DELIVERED]


def test_a_remote_server_cannot_link_another_message() -> None:
    """A reply that names one of our queue IDs is not followed if the Message-ID differs."""
    mine = "6AMG00aa000001: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<mine@b>, relay=x"
    other = "6AMG00aa000002: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<other@b>, relay=x"
    answer = "6AMG00aa000001: to=<r@y>, delay=0, dsn=2.0.0, stat=Sent (6AMG00aa000002 Message accepted for delivery)"
    (found,) = in_lines("6AMG00aa000001", mine, other, answer)
    assert found.queue_ids == ("6AMG00aa000001",)
    assert found.status is DeliveryStatus.HANDED_OVER


MINE = "6AMG00aa000001: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<mine@b>, relay=x"
BOUNCE = "6AMG00bb000002: from=<>, size=1, class=0, nrcpts=1, msgid=<202611221600.{}@mx>, relay=x"
FAILED = "6AMG00aa000001: to=<r@y>, delay=0, dsn=5.1.1, stat=User unknown"
NOTICE = "6AMG00aa000001: 6AMG00aa000003: DSN: User unknown"
HANDED = "6AMG00aa000003: to=<s@x>, delay=0, dsn=2.0.0, stat=Sent (6AMG00bb000002 Message accepted for delivery)"


def test_a_bounce_is_another_message() -> None:
    """The bounce is shown with its recipients, and does not change the status of the message."""
    sent = "6AMG00bb000002: to=<s@x>, delay=0, dsn=4.0.0, stat=Deferred: later"
    (found,) = in_lines("6AMG00aa000001", MINE, FAILED, NOTICE, BOUNCE.format("6AMG00aa000003"), HANDED, sent)
    assert (found.queue_ids, found.notice_ids) == (("6AMG00aa000001",), ("6AMG00aa000003", "6AMG00bb000002"))
    assert (found.status, [one.status for one in found.notices]) == (DeliveryStatus.FAILED, [DeliveryStatus.DEFERRED])
    assert [one.address for one in found.recipients] == ["<r@y>"]
    text = as_text(found)
    assert "Notices about it: 6AMG00aa000003, 6AMG00bb000002\n" in text
    assert "Recipients of notices:\n  <s@x>  deferred: " in text


def test_a_server_cannot_link_another_message_to_a_bounce() -> None:
    """Sendmail makes the Message-ID of a bounce from its queue ID."""
    (found,) = in_lines("6AMG00aa000001", MINE, FAILED, NOTICE, BOUNCE.format("other"), HANDED)
    assert found.notice_ids == ("6AMG00aa000003",)


def test_a_server_cannot_link_another_message_to_a_copy() -> None:
    """A copy has no envelope line of its own; the Message-ID is that of the message it was made of."""
    clone = "6AMG00aa000001: 6AMG00aa000003: clone: owner=<o@y>"
    other = "6AMG00bb000002: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<other@b>, relay=x"
    (found,) = in_lines("6AMG00aa000001", MINE, clone, other, HANDED)
    assert found.queue_ids == ("6AMG00aa000001", "6AMG00aa000003")
    (found,) = in_lines("6AMG00aa000001", MINE, other.replace("bb000002", "aa000003"), clone)
    assert found.queue_ids == ("6AMG00aa000001",)


def test_a_copy_that_was_not_tried_is_unknown() -> None:
    """A message is not delivered while a copy of it waits for a queue run, even though no line says so."""
    split = "6AMG00aa000001: split: maxrcpts=2, rcpts=5, count=2, ids=6AMG00aa000003; 6AMG00aa000004"
    sent = "6AMG00aa00000{}: to=<r@y>, delay=0, dsn=2.0.0, stat=Sent"
    lines = [MINE, split, sent.format(1), sent.format(3)]
    assert [one.status for one in in_lines("6AMG00aa000001", *lines)] == [DeliveryStatus.UNKNOWN]
    lines.append(sent.format(4))
    assert [one.status for one in in_lines("6AMG00aa000001", *lines)] == [DeliveryStatus.DELIVERED]


@pytest.mark.parametrize("subject", ["6ARA01aa002794", "6ARA01aa002796", "6ARA02bb002800", "<a1@example.org>"])
def test_each_name_finds_the_copy_for_an_owner(subject: str) -> None:
    """Each queue ID and the Message-ID find the one message with both of its recipients."""
    (found,) = find(subject, logs("owner-alias.log").matching, NOW).traces
    assert found.queue_ids == ("6ARA01aa002794", "6ARA01aa002796", "6ARA02bb002800")
    assert (found.status, len(found.recipients)) == (DeliveryStatus.DELIVERED, 2)


def test_a_message_id_in_the_log_of_a_container() -> None:
    """Docker escapes characters of a Message-ID."""
    text = "Nov 22 16:00:00 mx sm-mta[1]: 6AMG00aa000001: from=<s@x>, size=1, nrcpts=1, msgid=<a&b@x>, relay=x"
    wrapped = json.dumps({"log": text, "stream": "stdout", "time": "2026-11-22T16:00:00Z"})
    for plain, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e")):
        wrapped = wrapped.replace(plain, escaped)
    lines = [wrapped.encode()]
    found = find("<a&b@x>", lambda texts: (one for one in lines if any(text in one for text in texts)), NOW).traces
    assert [one.queue_ids for one in found] == [("6AMG00aa000001",)]


@pytest.mark.parametrize("subject", ["6AMG00aa000001", "<mine@b>", "mine@b"])
def test_lines_of_an_unknown_form_are_counted(subject: str) -> None:
    """Trace reports the lines in an unknown form that name a message which it did not find."""
    lines = [f"at teatime, mx wrote {MINE}".encode(), f"later: {MINE} again".encode(), b"other"]
    found = traces.find(subject, lambda texts: (one for one in lines if any(text in one for text in texts)), NOW)
    assert (found.traces, found.unknown, found.example) == ([], 2, lines[0])


def test_known_lines_are_not_counted() -> None:
    """What was found, and a line that only begins like the Message-ID, is no unknown form."""
    lines = [f"Nov 22 16:00:00 mx sm-mta[1]: {MINE}".encode()]
    assert traces.find("6AMG00aa000001", lambda _texts: lines, NOW).unknown == 0
    assert traces.find("<mine@bee>", lambda _texts: lines, NOW).unknown == 0


def test_a_circle_of_queue_ids_ends() -> None:
    """Two queue IDs that hand over to each other make one trace."""
    ids = ("6AMG00aa000001", "6AMG00aa000002")
    lines = [f"{a}: to=<r@y>, dsn=2.0.0, stat=Sent ({b} Message accepted)" for a, b in (ids, ids[::-1])]
    assert [found.queue_ids for found in in_lines(ids[0], *lines)] == [ids]


def test_an_alias_with_an_owner_is_followed() -> None:
    """The copy for the alias has its own queue ID."""
    (found,) = in_lines(
        "6AMG00aa000001",
        "6AMG00aa000001: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<a@b>, relay=x",
        "6AMG00aa000003: clone 6AMG00aa000001, owner=<owner-list@y>",
        "6AMG00aa000003: to=<r@y>, delay=00:00:00, dsn=2.0.0, stat=Sent",
    )
    assert found.queue_ids == ("6AMG00aa000001", "6AMG00aa000003")
    assert found.status is DeliveryStatus.DELIVERED


@pytest.mark.parametrize("rest", ["clone", "clone ", "clone ,", "clone x", ""])
def test_a_cut_line_is_not_a_link(rest: str) -> None:
    """A line may be cut or forged, and then links nothing."""
    (found,) = in_lines("6AMG00aa000001", f"6AMG00aa000001: {rest}", "6AMG00aa000001: to=<r@y>, dsn=2.0.0, stat=Sent")
    assert (found.queue_ids, found.status) == (("6AMG00aa000001",), DeliveryStatus.DELIVERED)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["to=<r@y>, dsn=2.0.0, stat=Sent (6AMG00aa000009 Message accepted)"], DeliveryStatus.HANDED_OVER),
        (["to=<r@y>, dsn=4.4.1, stat=Deferred", "to=<r@y>, dsn=2.0.0, stat=Sent"], DeliveryStatus.DELIVERED),
        (["to=<r@y>, dsn=2.0.0, stat=Sent", "to=<q@y>, dsn=4.4.1, stat=Deferred"], DeliveryStatus.DEFERRED),
        (["to=<r@y>, dsn=5.1.1, stat=User unknown", "to=<q@y>, dsn=4.4.1, stat=Deferred"], DeliveryStatus.FAILED),
        (["Milter: data, reject=550 5.7.1 no", "to=<r@y>, delay=0, pri=1, stat=no"], DeliveryStatus.REJECTED),
        (["from=<s@x>, size=1, class=0, nrcpts=1, relay=x"], DeliveryStatus.UNKNOWN),
        (["to=<r@y>, delay=0, pri=1, stat=queued"], DeliveryStatus.DEFERRED),
        (["to=<r@y>, delay=0, pri=1, quarantine=why, stat=quarantined"], DeliveryStatus.HELD),
        (["to=<r@y>, delay=0, pri=1, stat=Sent"], DeliveryStatus.DELIVERED),
        (["to=<r@y>, delay=0, pri=1, stat=Deferred: later"], DeliveryStatus.DEFERRED),
        (["milter=miltscan, tempfail"], DeliveryStatus.TEMPFAILED),
        (["milter=miltscan, action=mail, reject"], DeliveryStatus.REJECTED),
        (["milter=miltscan, reject=550 5.7.1 no"], DeliveryStatus.REJECTED),
        (["milter=miltscan, discard"], DeliveryStatus.DISCARDED),
        (["Milter: data, discard"], DeliveryStatus.DISCARDED),
        (["ruleset=check_mail, arg1=<s@x>, discard"], DeliveryStatus.DISCARDED),
        (["discarded"], DeliveryStatus.DISCARDED),
        (["Milter (x) add: header: X: a, discard"], DeliveryStatus.UNKNOWN),
    ],
)
def test_status(lines: list[str], status: DeliveryStatus) -> None:
    """It is the worst of the recipients' last results; without a delivery it is the reply to the client."""
    (found,) = in_lines("6AMG00aa000001", *(f"6AMG00aa000001: {line}" for line in lines))
    assert found.status is status


@pytest.mark.parametrize(("action", "status"), [("discard", DeliveryStatus.DISCARDED), ("hold", DeliveryStatus.HELD)])
def test_status_by_decision(action: str, status: DeliveryStatus) -> None:
    """A message that sendmail discards or holds for miltscan has no delivery line."""
    line = json.dumps({"event": "message", "queue_id": "6AMG00aa000001", "action": action})
    (found,) = in_lines("6AMG00aa000001", line)
    assert found.status is status


def test_the_number_of_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many messages with one Message-ID only the first ones are kept."""
    monkeypatch.setattr(traces, "QUEUE_IDS_FOLLOWED", 3)
    lines = [f"6AMG00aa00000{n}: from=<s@x>, size=1, class=0, nrcpts=1, msgid=<a@b>, relay=x" for n in range(9)]
    assert len(in_lines("<a@b>", *lines)) == 3


def test_the_number_of_links_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many messages that were handed over as one queue ID only the first ones are kept."""
    monkeypatch.setattr(traces, "QUEUE_IDS_FOLLOWED", 3)
    end = "to=<r@y>, dsn=2.0.0, stat=Sent (6AMG00aa000000 Message accepted)"
    (found,) = in_lines("6AMG00aa000000", *(f"6AMG00aa00000{number}: {end}" for number in range(1, 9)))
    assert len(found.queue_ids) <= 3


def test_the_number_of_events_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a queue ID with very many lines only the first ones are kept."""
    monkeypatch.setattr(traces, "EVENTS_KEPT", 5)
    (found,) = in_lines("6AMG00aa000001", *(f"6AMG00aa000001: line {number}" for number in range(9)))
    assert len(found.events) == 5


def test_a_line_in_two_logs_is_one_event() -> None:
    """A line that the journal and a file have is one event."""
    twice = logs("mail.log", "miltscan.log", "mail.log", "miltscan.log")
    assert find("6AMG9F89004499", twice.matching, NOW).traces == in_sandwich("6AMG9F89004499")


@pytest.mark.parametrize(
    "written",
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", "Dec 31 9999 23:59:59"],
)
def test_a_time_at_the_end_of_the_calendar_is_none(written: str) -> None:
    """A damaged line is shown without a time, and ends no search."""
    texts = ("from=<a@example.org>, msgid=<x@y>", "to=<b@example.test>, stat=Sent")
    lines = [f"{written} mx sm-mta[1]: 6AMG9F89004499: {text}".encode() for text in texts]
    (trace,) = find("6AMG9F89004499", lambda _texts: lines, NOW).traces
    assert [event.time for event in trace.events] == [None, None]
    assert trace.is_by_time
