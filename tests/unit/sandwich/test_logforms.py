"""Each form in which an administrator meets a log line, and lines that try to be one."""

import json
from datetime import UTC, datetime

import pytest

from miltscan.sandwich.logforms import split_head
from miltscan.sandwich.logline import LINE_LIMIT, EventKind, LogEvent, parse_line

NOW = datetime(2026, 11, 28, tzinfo=UTC)
TEXT = "6ARA01aa002794: from=<ann@example.org>, size=108, class=0, nrcpts=1, msgid=<a1@example.org>, relay=[192.0.2.45]"
LINE = f"Nov 27 10:00:01 mx1 sm-mta[2794]: {TEXT}"
RFC5424 = f"<22>1 2026-11-27T10:00:01.123456+00:00 mx1 sm-mta 2794 - - {TEXT}"
JOURNAL = {
    "__REALTIME_TIMESTAMP": "1795773601123456",
    "_HOSTNAME": "mx1",
    "SYSLOG_IDENTIFIER": "sm-mta",
    "_PID": "2794",
}

COMPLETE = [
    LINE,
    f"<22>{LINE}",
    f"\ufeff{LINE}",
    f"Nov 27 10:00:01 <mail.info> mx1 sm-mta[2794]: {TEXT}",
    f"Nov 27 10:00:01 <22> mx1 sm-mta[2794]: {TEXT}",
    f"Nov 27 10:00:01 <2.6> mx1 sm-mta[2794]: {TEXT}",
    f"Nov 27 10:00:01 mx1 mail:info sm-mta[2794]: {TEXT}",
    f"Nov 27 10:00:01 mx1 sm-mta[2794]: [ID 801593 mail.info] {TEXT}",
    f"Nov 27 10:00:01 mx1 Message forwarded from mx1.example.org: sm-mta[2794]: {TEXT}",
    f"Nov 27 10:00:01.123456 mx1 sm-mta[2794]: {TEXT}",
    f"Nov 27 2026 10:00:01 mx1 sm-mta[2794]: {TEXT}",
    f"2026 Nov 27 10:00:01 mx1 sm-mta[2794]: {TEXT}",
    f"2026-11-27T10:00:01.123456+00:00 mx1 sm-mta[2794]: {TEXT}",
    f"2026-11-27T10:00:01+0000 mx1 sm-mta[2794]: {TEXT}",
    f"Fri 2026-11-27 10:00:01 UTC mx1 sm-mta[2794]: {TEXT}",
    f"1795773601.123456 mx1 sm-mta[2794]: {TEXT}",
    RFC5424,
    f'<22>1 2026-11-27T10:00:01Z mx1 sm-mta 2794 msg [a@1 b="x\\]y" c="\\""][d] \ufeff{TEXT}',
    f"2026-11-27T10:00:01.123456Z mx1 sm-mta 2794 - - {TEXT}",
    f"150 {RFC5424}",
    json.dumps({"log": f"{LINE}\n", "stream": "stdout", "time": "2026-11-27T11:00:01.1Z"}),
    f"2026-11-27T11:00:01.123456789Z stdout F {LINE}",
    f"2026-11-27T11:00:01.123456789+00:00 stderr P:x {LINE}",
    f"2026-11-27T11:00:01.123456789Z {LINE}",
    f"mail-1  | {LINE}",
    f"mail-1  | 2026-11-27T11:00:01.123456789Z {LINE}",
    f"[pod/mx-0/mail] {LINE}",
    json.dumps(JOURNAL | {"MESSAGE": TEXT}),
    json.dumps(JOURNAL | {"MESSAGE": list(TEXT.encode())}),
    f"\x1e{json.dumps(JOURNAL | {'MESSAGE': TEXT})}",
    f"data: {json.dumps(JOURNAL | {'MESSAGE': TEXT})}",
    f"maillog.0:{LINE}",
    f"/var/log/mail.log-20261127:12:{LINE}",
    f"mail-log-12-{LINE}",
    f"12:{LINE}",
    f"x:{RFC5424}",
    f"x.log:2:2026-11-27T10:00:01Z mx1 sm-mta[2794]: {TEXT}",
    f"pod.json:{json.dumps({'log': LINE, 'stream': 'stderr', 'time': '2026-11-27T11:00:01Z'})}",
]


def facts(event: LogEvent) -> tuple[str | None, EventKind, str | None]:
    """What must be right in each form."""
    return event.queue_id, event.kind, event.get("msgid")


FOUND = ("6ARA01aa002794", EventKind.ENVELOPE, "<a1@example.org>")


@pytest.mark.parametrize("line", COMPLETE)
@pytest.mark.usefixtures("utc")
def test_a_form_with_everything(line: str) -> None:
    """Time, host, program and process ID are known as well as the text, from bytes or a string."""
    for one in (line, f"{line}\r\n".encode()):
        event = parse_line(one, NOW)
        assert event.time is not None
        assert event.time.replace(microsecond=0) == datetime(2026, 11, 27, 10, 0, 1, tzinfo=UTC)
        assert (event.host, event.program, event.pid) == ("mx1", "sm-mta", 2794)
        assert facts(event) == FOUND


@pytest.mark.parametrize(
    ("line", "time", "host", "program"),
    [
        (f"[  123.456789] mx1 sm-mta[1]: {TEXT}", None, "mx1", "sm-mta"),
        (f"<22>1 - - sm-mta - - - {TEXT}", None, None, "sm-mta"),
        (f"Nov 27 10:00:01 2001:db8::1 sm-mta[1]: {TEXT}", "10:00:01", "2001:db8::1", "sm-mta"),
        (f"2026-11-27T10:00:01.123456789Z {TEXT}", "10:00:01.123456", None, None),
        (f"2026-11-27T10:00:01.123456789Z stdout F {TEXT}", "10:00:01.123456", None, None),
        (json.dumps({"log": TEXT, "stream": "x", "time": "2026-11-27T10:00:01Z"}), "10:00:01", None, None),
        (json.dumps({"log": TEXT, "stream": "x", "time": "yesterday"}), None, None, None),
        (
            json.dumps(JOURNAL | {"MESSAGE": TEXT, "__REALTIME_TIMESTAMP": "x", "_HOSTNAME": None}),
            "00:00:00",
            None,
            "sm-mta",
        ),
        (f"maillog:{TEXT}", None, None, None),
        (TEXT, None, None, None),
    ],
)
@pytest.mark.usefixtures("utc")
def test_a_form_without_something(line: str, time: str | None, host: str | None, program: str | None) -> None:
    """What a form does not have is unknown, and the text is read."""
    event = parse_line(line, NOW)
    assert (event.time and event.time.time().isoformat(), event.host, event.program) == (time, host, program)
    assert facts(event) == FOUND


def test_the_colours_of_grep() -> None:
    """The codes before and after what grep found are no part of the line."""
    line = f"\x1b[35m\x1b[Kmaillog.0\x1b[m\x1b[K\x1b[36m\x1b[K:\x1b[m\x1b[K{LINE}".replace(
        "6ARA01aa002794", "\x1b[01;31m\x1b[K6ARA01aa002794\x1b[m\x1b[K"
    )
    assert facts(parse_line(line.encode(), NOW)) == FOUND


@pytest.mark.parametrize("line", [f"\x1b[2K{LINE}", f"\x1b[37m{LINE}\x1b[0m"])
def test_the_codes_of_compose(line: str) -> None:
    """`docker compose logs` and `podman-compose logs` write codes for a terminal into files, too."""
    assert facts(parse_line(line.encode(), NOW)) == FOUND


@pytest.mark.parametrize(
    "line",
    [
        f"x from=<a:{LINE}",
        f"mx1 sm-mta[1]: 6ARA01aa000001: to=<a:{LINE}",
        f'"{LINE}',
        f"a=b:{LINE}",
        f'{{"a":{LINE}',
        json.dumps({"log": TEXT}),
        json.dumps({"log": 1, "stream": "x"}),
        json.dumps({"MESSAGE": TEXT}),
        json.dumps([TEXT]),
        f"Nov 27 10:00:01 mx1 sm-mta[1] {TEXT}",
        "",
        "{",
    ],
)
def test_an_unknown_form_is_not_guessed(line: str) -> None:
    """A head or a queue ID somewhere in a line may be the text of a client."""
    event = parse_line(line, NOW)
    assert (event.queue_id, event.kind) == (None, EventKind.OTHER)


def test_a_known_head_ends_the_search() -> None:
    """What follows the head is text, even if it looks like another head."""
    event = parse_line(f"Nov 27 10:00:01 mx1 sm-mta[1]: x:{LINE}", NOW)
    assert (event.queue_id, event.pid) == (None, 1)
    event = parse_line(f"6ARA01aa000001: to=<x>, stat=x:{LINE}", NOW)
    assert event.queue_id == "6ARA01aa000001"


@pytest.mark.parametrize(
    "line",
    [
        "a | " * 16000,
        "a:" * 30000,
        "a-" * 30000,
        '{"log":' * 9000,
        "<22>1 - - - - - " * 4000,
        "Nov 27 10:00:01 " * 4000,
        "<22>1 - a b c d " + '[a"' * 20000,
        "<22>1 - a b c d " + '[a"b"' * 12000,
        "2026-11-27T10:00:01Z " * 3000,
        'a:{"MESSAGE":1' * 4000,
        '{"a":' * 9000 + "1" + "}" * 9000,
    ],
)
def test_nested_forms_end(line: str) -> None:
    """A line of any nesting is text; the bound of depth keeps its cost linear."""
    assert isinstance(split_head(line, LINE_LIMIT).text, str)


def test_the_parts_of_a_long_line() -> None:
    """The first part has the fields; a later one may begin within a text of a client, so that it has none."""
    first = parse_line(LINE.replace("2794: from", "2794[1]: from") + " ...", NOW)
    assert facts(first) == FOUND
    second = parse_line("Nov 27 10:00:01 mx1 sm-mta[2794]: 6ARA01aa002794[2]: to=<x@y>, dsn=2.0.0, stat=Sent", NOW)
    assert (second.queue_id, second.kind, dict(second.fields)) == ("6ARA01aa002794", EventKind.OTHER, {})


@pytest.mark.parametrize(
    ("queue_id", "time", "year"),
    [
        ("6ARA01aa002794", "Nov 27 10:00:01", 2026),
        ("6ARA01aa002794", "Nov 26 23:00:01", 2026),
        ("6ARA01aa002794", "Jan  2 10:00:01", 2027),
        ("6BVNxxaa002794", "Jan  1 00:00:01", 2027),
        ("501000aa002794", "Dec 31 19:00:00", 2024),
        ("401000aa002794", "Jan  1 00:00:01", 2024),
        ("m2Q8K2Ab009530", "Mar 26 08:20:02", 2008),
        ("zzzzzzaa002794", "Nov 27 10:00:01", 2027),
    ],
)
@pytest.mark.usefixtures("utc")
def test_the_year_is_that_of_the_queue_id(queue_id: str, time: str, year: int) -> None:
    """A line without a year comes after its queue ID was made, however old the log is; else it is the last one."""
    event = parse_line(f"{time} mx1 sm-mta[1]: {queue_id}: to=<x@y>, stat=Sent", datetime(2027, 12, 1, tzinfo=UTC))
    assert event.time
    assert event.time.year == year
