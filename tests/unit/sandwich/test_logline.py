"""Log lines of every form; hostile ones change no other field, raise nothing and take no time."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.sandwich.logline import EventKind, addresses, handoff_id, parse_line
from miltscan.trace.explain import explain
from miltscan.trace.follow import find
from miltscan.trace.timeline import as_text, explained_as_text, trace_fields

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TO = "to=<a@example.test>, delay=00:00:01, xdelay=00:00:00, mailer=local, pri=30134, relay=h [1.2.3.4]"


@pytest.mark.parametrize(
    ("head", "time", "host", "program", "pid"),
    [
        ("Feb 28 10:11:12 mx sm-mta[7]: ", "2026-02-28T10:11:12+00:00", "mx", "sm-mta", 7),
        ("Mar  2 10:11:12 mx sendmail[7]: ", "2026-03-02T10:11:12+00:00", "mx", "sendmail", 7),
        ("Mar  3 10:11:12 mx sendmail[7]: ", "2025-03-03T10:11:12+00:00", "mx", "sendmail", 7),
        ("Feb 29 10:11:12 mx incoming[7]: ", "2024-02-29T10:11:12+00:00", "mx", "incoming", 7),
        ("Feb 31 10:11:12 mx incoming[7]: ", None, "mx", "incoming", 7),
        ("Feb 28 10:11:12.5 mx delivery[7]: ", "2026-02-28T10:11:12.500000+00:00", "mx", "delivery", 7),
        ("Feb 28 10:11:12 sendmail[7]: ", "2026-02-28T10:11:12+00:00", None, "sendmail", 7),
        ("Feb 28 10:11:12 mx sendmail: ", "2026-02-28T10:11:12+00:00", "mx", "sendmail", None),
        ("<22>Feb 28 10:11:12 mx sendmail[7]: ", "2026-02-28T10:11:12+00:00", "mx", "sendmail", 7),
        ("Feb 28 10:11:12 mx sendmail[7]: [ID 801593 mail.info] ", "2026-02-28T10:11:12+00:00", "mx", "sendmail", 7),
        ("2026-02-28T10:11:12.123456+01:00 mx sm-mta[7]: ", "2026-02-28T10:11:12.123456+01:00", "mx", "sm-mta", 7),
        ("2026-02-28T10:11:12+0100 mx sm-mta[7]: ", "2026-02-28T10:11:12+01:00", "mx", "sm-mta", 7),
        (
            "2026-02-28T10:11:12Z mx.example.test sm-mta[7]: ",
            "2026-02-28T10:11:12+00:00",
            "mx.example.test",
            "sm-mta",
            7,
        ),
        ("2026-02-28 10:11:12 mx sm-mta[7]: ", "2026-02-28T10:11:12+00:00", "mx", "sm-mta", 7),
        ("2026-99-28T10:11:12Z mx sm-mta[7]: ", None, "mx", "sm-mta", 7),
        ("", None, None, None, None),
    ],
)
@pytest.mark.usefixtures("utc")
def test_head(head: str, time: str | None, host: str | None, program: str | None, pid: int | None) -> None:
    """The forms of syslog, ISO, journalctl and Solaris are known; without a year it is the latest past one."""
    event = parse_line(f"{head}6AMG4FAU001849: {TO}", NOW)
    assert event.time == (datetime.fromisoformat(time) if time else None)
    assert (event.host, event.program, event.pid) == (host, program, pid)
    assert (event.queue_id, event.kind) == ("6AMG4FAU001849", EventKind.DELIVERY)


@pytest.mark.parametrize("queue_id", ["m2Q8K2e1009516", "6AMG4FAU1234567", "e6FFBLP22398", "NOQUEUE"])
def test_queue_id(queue_id: str) -> None:
    """Queue IDs of sendmail 8.9 to 8.18 are known, with process IDs of up to seven digits."""
    assert parse_line(f"Feb 28 10:11:12 mx sm-mta[7]: {queue_id}: text", NOW).queue_id == queue_id


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("from=<a@b>, size=1", EventKind.ENVELOPE),
        ("to=<a@b>, stat=Sent", EventKind.DELIVERY),
        ("Milter: data, reject=550 5.7.1 no", EventKind.MILTER),
        ("Milter (miltscan) insert (0): header: X-Virus-Status:  Clean", EventKind.MILTER),
        ("ruleset=check_rcpt, arg1=<a@b>, reject=550 5.7.1 no", EventKind.RULESET),
        ("done; delay=00:00:00, ntries=2", EventKind.OTHER),
        ("6AMG9Lxs004629: DSN: User unknown", EventKind.OTHER),
    ],
)
def test_kind(text: str, kind: EventKind) -> None:
    """The beginning of the text after the queue ID is the kind."""
    assert parse_line(f"6AMG4FAU001849: {text}", NOW).kind is kind


FROM = "from={}, size=1, class=0, nrcpts=1, msgid={}, proto=ESMTP, daemon=MTA, relay=h [1.2.3.4]"


@pytest.mark.parametrize(
    ("sender", "message_id"),
    [
        ("<a@b>", "<c@d>"),
        ('<"x>, size=9, relay=evil"@b>', "<c@d>"),
        ('<"a, size=9\\\\", class=5"@b>', "<c@d>"),
        ('<"a, size=9\\\\\\\\"@b>', "<c@d>"),
        ("<>", "<c, size=9, relay=evil>"),
        ("root", "no brackets, relay=evil, stat=Sent"),
        ("<a@b>", "<cut after a hundred characters"),
        ("<a@b>", "x, proto=SMTP"),
        ("<a@b>", "<c> (a comment), size=3"),
    ],
)
def test_what_a_client_chooses_changes_no_other_field(sender: str, message_id: str) -> None:
    """Sender and Message-ID may contain fields; size and relay are still sendmail's own."""
    event = parse_line("6AMG4FAU001849: " + FROM.format(sender, message_id), NOW)
    assert (event.get("from"), event.get("size")) == (sender, "1")
    assert (event.get("relay"), event.get("daemon"), event.get("nrcpts")) == ("h [1.2.3.4]", "MTA", "1")
    assert event.get("proto") == "ESMTP"
    assert message_id.startswith(event.get("msgid") or "-")


@pytest.mark.parametrize(
    ("end", "dsn", "stat", "handed"),
    [
        (
            "dsn=2.0.0, stat=Sent (6AMG4FAU001850 Message accepted for delivery)",
            "2.0.0",
            "Sent (6AMG4FAU001850 Message accepted for delivery)",
            "6AMG4FAU001850",
        ),
        ("dsn=2.0.0, stat=Sent (ok, dsn=5.0.0, stat=no)", "2.0.0", "Sent (ok, dsn=5.0.0, stat=no)", None),
        ("dsn=5.1.1, reply=550 no, stat=Sent (x, stat=User unknown", "5.1.1", "User unknown", None),
        ("dsn=5.1.1, stat=Sent (6AMG4FAU001850 Message accepted for delivery)", "5.1.1", None, None),
        ("dsn=4.4.1, stat=Deferred: Connection refused by h", "4.4.1", "Deferred: Connection refused by h", None),
    ],
)
def test_what_a_server_answers_changes_no_other_field(end: str, dsn: str, stat: str | None, handed: str | None) -> None:
    """The reply of a remote server is only the value of stat or reply."""
    event = parse_line(f"6AMG4FAU001849: {TO}, {end}", NOW)
    assert event.get("dsn") == dsn
    assert stat is None or event.get("stat") == stat
    assert handoff_id(event) == handed


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ("<a@b>", ["<a@b>"]),
        ("<a@b>,<c@d>, [more]", ["<a@b>", "<c@d>"]),
        ("a,b@c", ["a", "b@c"]),
        ('<"x, y>"@b>,<c@d>', ['<"x, y>"@b>', "<c@d>"]),
        ('"|/usr/bin/archive, --all"', ['"|/usr/bin/archive, --all"']),
        ('"a b"@c,d', ['"a b"@c', "d"]),
    ],
)
def test_recipients(to: str, expected: list[str]) -> None:
    """The recipients are a list, with commas in quoted strings."""
    event = parse_line(f"6AMG4FAU001849: to={to}, delay=00:00:01, dsn=2.0.0, stat=Sent", NOW)
    assert (addresses(event), event.get("dsn")) == (expected, "2.0.0")


def test_a_line_of_miltscan_with_or_without_a_head() -> None:
    """Miltscan's line may have a syslog head; the time is its own."""
    line = json.dumps({"timestamp": "2026-02-28T10:11:12.5+00:00", "event": "message", "queue_id": "6AMG4FAU001849"})
    alone, behind = parse_line(line, NOW), parse_line(f"Feb 28 10:11:13 mx miltscan[9]: {line}", NOW)
    assert alone.kind is EventKind.SCAN
    assert (alone.time, alone.queue_id, alone.fields) == (behind.time, "6AMG4FAU001849", behind.fields)


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"event": 1}', '{"a":' * 100_000, '{"event": "x", "queue_id": {"a": 1}}']
)
def test_json_of_another_form(line: str) -> None:
    """Such a line belongs to no message."""
    assert parse_line(line, NOW).queue_id is None


@pytest.mark.parametrize("line", ["[1]", '{"event": 1}', "{}", '"event"'])
def test_json_without_an_event(line: str) -> None:
    """Only an object whose `event` is text is a line of miltscan."""
    assert parse_line(line, NOW).kind is not EventKind.SCAN


def test_escapes_in_json_stay_harmless() -> None:
    """A value from a JSON escape is as printable as a raw one."""
    line = json.dumps({"event": "message", "queue_id": "6AMG4FAU001849", "engines": [{"detail": "\x1b[2J\u202e"}]})
    assert parse_line(line, NOW).fields["engines"] == [{"detail": "\\x1b[2J\\u202e"}]


FRAGMENTS = st.sampled_from(
    [
        "Nov 22 16:04:15 mx sm-mta[1]: ", "2026-02-28T10:11:12Z ", "6AMG4FAU001849: ", "from=", "to=", "msgid=",
        "stat=", ", ", "<", ">", '"', "\\", "Sent (", "6AMG4FAU001850", " Message accepted", "reply=", "dsn=2.0.0",
        "relay=x", "Milter: data, reject=", "clone ", '{"event":"message","queue_id":"6AMG4FAU001849",',
        '"engines":[{}]}', "}", '"recipients":5', "[more]", "\x1b", "\u202e", "\ud800",
    ]
)  # fmt: skip
LINES = st.lists(FRAGMENTS | st.text(max_size=5), max_size=12).map("".join)


@given(st.lists(LINES, max_size=6))
def test_nothing_raises_and_all_is_printable(lines: list[str]) -> None:
    """Any lines can be parsed, explained, traced and shown."""
    for line in lines:
        assert explained_as_text(explain(line, NOW)).replace("\n", "").isprintable()
    for found in find("6AMG4FAU001849", lambda _texts: [line.encode("utf-8", "replace") for line in lines], NOW).traces:
        assert as_text(found).replace("\n", "").isprintable()
        json.dumps(trace_fields(found))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_line(line: bytes) -> None:
    """Any bytes are a line."""
    event = parse_line(line, datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=14))))
    assert event.text.isprintable()


@pytest.mark.parametrize(
    "text", ['<"' * 30_000, "<a>," * 16_000, ", a=" * 16_000, '"\\\\' * 20_000, "reply=, stat=" * 5000, '<",' * 20_000]
)
@pytest.mark.timeout(10)
def test_no_text_takes_long(text: str) -> None:
    """No pattern backtracks: 60 KB of hostile text take no time."""
    parse_line(f"6AMG4FAU001849: to={text}", NOW)
    parse_line(f"6AMG4FAU001849: from=<a>, msgid={text}", NOW)
    addresses(parse_line(f"6AMG4FAU001849: to={text}", NOW))
