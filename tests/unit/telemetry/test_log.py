"""Log lines: one for each event, with any content of a message."""

import json
import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from miltscan.core.action import Accept, Action, Decision, Reject, Reply, TempFail
from miltscan.core.message import Client
from miltscan.core.report import Group, Kept, Report
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.telemetry import log, log_line, service_metrics

MakeReport = Callable[..., Report]

HOSTILE = [
    b"\x1b[2J\x1b]0;title\x07",
    b"line\r\nevent=forged",
    "right\u202eto left".encode(),
    b"\x9b31m",
    "\x9b31m".encode(),
    b"not utf-8: \xff\xfe\x80",
    b"\x00\x7f\t\x0b",
    "\u2028\u2029\x85".encode(),
    b'quote " and \\ backslash',
    "\U0001d518\U0001d52b é 漢".encode(),
    "\U000e0001".encode() * 4000,
    b"\xff" * 70000,
    b'"\\' * 40000,
]


REFUSED = Reject(Reply(550, "5.7.1", "no"))


@pytest.fixture(autouse=True)
def _unconfigured_after() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def _lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().out.split("\n")[:-1]


def _one(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    lines = _lines(capfd)
    assert len(lines) == 1
    parsed: dict[str, Any] = json.loads(lines[0])
    return parsed


def test_the_line_of_a_clean_message(make_report: MakeReport, capfd: pytest.CaptureFixture[str]) -> None:
    """One JSON object has everything known of a message."""
    log.configure("json", "info")
    log.message(make_report(), worker=3)
    line = _one(capfd)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "message",
        "queue_id": "4AB12CD3",
        "message_id": "<1@example.test>",
        "client_address": "192.0.2.7",
        "client_name": "mail.example.test",
        "sender": "<sender@example.test>",
        "recipients": ["<one@example.org>", "<two@example.org>"],
        "recipients_count": 2,
        "direction": "outbound",
        "size": 3000,
        "outcome": "clean",
        "reason": None,
        "signature": None,
        "unscanned_by": [],
        "receipt": None,
        "list": None,
        "rule": "clean",
        "action": "accept",
        "area": None,
        "entry": None,
        "reply": None,
        "decisions": [],
        "decisions_count": 0,
        "observed": [],
        "facts": [],
        "part": None,
        "reading": None,
        "anomalies": [],
        "parts_scanned": 0,
        "engines": [{"engine": "clamd", "outcome": "clean", "server": "unix:/run/clamd.ctl", "ms": 12.3}],
        "waited_ms": 0.1,
        "total_ms": 13.4,
        "worker": 3,
    }


def test_the_line_has_the_decision_of_each_group(make_report: MakeReport, capfd: pytest.CaptureFixture[str]) -> None:
    """The first groups, which together name as many recipients as the message does; the others are counted."""
    log.configure("json", "info")
    groups = [
        Group((0, 1), Decision(Accept(), "clean")),
        Group((2,), Decision(REFUSED, "no"), Kept("refused", "01jdq4xk2m8v3n7w5rst", 0.1)),
        Group((3,), Decision(Accept(), "tag"), queue_id="6AMG4FiU001852"),
        Group((4,), Decision(Accept(), "tag"), Kept("refused", "", 0.1), refusal="550 no"),
        *(Group((*range(5 + 20 * number, 25 + 20 * number),), Decision(Accept(), "rest")) for number in range(9)),
    ]
    recipients = tuple(b"<%d@example.org>" % number for number in range(200))
    log.message(make_report(recipients=recipients)._replace(groups=tuple(groups)), worker=0)
    line = _one(capfd)
    shown = line["decisions"]
    assert (len(shown), line["decisions_count"]) == (log.DECISIONS_SHOWN, 13)
    assert [len(one["recipients"]) for one in shown] == [2, 1, 1, 1, 15]
    assert [one["recipients_count"] for one in shown] == [2, 1, 1, 1, 20]
    assert shown[1] == {
        "recipients": ["<2@example.org>"],
        "recipients_count": 1,
        "rule": "no",
        "action": "reject",
        "area": "refused",
        "entry": "01jdq4xk2m8v3n7w5rst",
        "delivery": "",
        "refusal": "",
    }
    assert (shown[2]["delivery"], shown[3]["entry"], shown[3]["refusal"]) == ("6AMG4FiU001852", None, "550 no")


@pytest.mark.parametrize("text", [one.decode("utf-8", "backslashreplace") for one in HOSTILE])
def test_a_line_with_decisions_has_its_bound(
    make_report: MakeReport, capfd: pytest.CaptureFixture[str], text: str
) -> None:
    """Whatever addresses, rules and replies contain."""
    log.configure("json", "info")
    recipients = tuple(text.encode() for _ in range(200))
    groups = tuple(
        Group((*range(20 * number, 20 * number + 20),), Decision(REFUSED, text), Kept(text, text, 0.1), text, text)
        for number in range(10)
    )
    report = make_report(recipients=recipients, sender=text.encode(), message_id=text.encode(), engines=3)
    log.message(report._replace(groups=groups), worker=0)
    written = capfd.readouterr().out
    assert len(written.encode()) <= log_line.LINE_LIMIT
    assert json.loads(written)["decisions_count"] == 10


def test_the_line_says_why_a_message_was_not_scanned(
    make_report: MakeReport, capfd: pytest.CaptureFixture[str]
) -> None:
    """The line has reason, detail, rule and reply."""
    log.configure("json", "info")
    verdict = Verdict.error("clamd", Fault.CONNECT, "Connection refused", "inet:3310@127.0.0.1")
    decision = Decision(TempFail(Reply(451, "4.7.1", "Message not scanned")), "policy.on_error")
    log.message(make_report(verdict, decision), worker=0)
    line = _one(capfd)
    assert (line["level"], line["reason"], line["rule"]) == ("warning", "connect", "policy.on_error")
    assert line["reply"] == "451 4.7.1 Message not scanned"
    assert (line["engines"][0]["reason"], line["engines"][0]["detail"]) == ("connect", "Connection refused")


@pytest.mark.parametrize(
    ("verdict", "action", "expected"),
    [
        (Verdict.clean("clamd"), Accept(), False),
        (Verdict.infected("clamd", "Eicar"), Reject(Reply(550, "5.7.1", "Virus")), False),
        (Verdict.infected("clamd", "Eicar"), TempFail(Reply(451, "4.7.1", "Virus")), True),
        (Verdict.unscanned("clamd", Limit.ENCRYPTED), Accept(), True),
        (Verdict.unscanned("limits", Limit.TOO_LARGE), Reject(Reply(552, "5.3.4", "Too large")), True),
        (Verdict.error("clamd", Fault.CLOSED), Accept(), True),
    ],
)
def test_the_level_of_a_message(make_report: MakeReport, verdict: Verdict, action: Action, *, expected: bool) -> None:
    """The line is a warning if the message was not scanned completely or was tempfailed."""
    assert log.is_warning(make_report(verdict, Decision(action, "rule"))) is expected


def _hostile_report(make_report: MakeReport, data: bytes) -> Report:
    text = data.decode("utf-8", "surrogateescape")
    verdict = Verdict("clamd", Verdict.clean("clamd").outcome, text, None, text, text)
    decision = Decision(Reject(Reply(550, "5.7.1", text)), text)
    return make_report(
        verdict,
        decision,
        client=Client(text, text),
        sender=data,
        recipients=(data,) * 500,
        message_id=data,
        engines=5,
    )


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data[:12]))
def test_no_message_breaks_a_line_or_a_terminal(
    make_report: MakeReport, capfd: pytest.CaptureFixture[str], form: str, data: bytes
) -> None:
    """Any text in all fields at once makes one line below PIPE_BUF, printable even after decoding."""
    log.configure(form, "info")
    log.message(_hostile_report(make_report, data), worker=0)
    (line,) = _lines(capfd)
    assert line.isprintable()
    assert len(line.encode()) < 4096
    if form == "json":
        fields = json.loads(line)
        assert all(text.isprintable() for text in _texts(fields))
        assert (fields["recipients_count"], len(fields["recipients"])) == (500, 20)
        assert fields["queue_id"] == "4AB12CD3"


@pytest.mark.parametrize("character", ["\x7f", "\x9b", "\x1b", "\n", "\u202e", "\u2028", "\udcff", "\U000e0001"])
@pytest.mark.parametrize("form", ["json", "console"])
def test_one_bad_character_is_enough_to_be_escaped(
    capfd: pytest.CaptureFixture[str], form: str, character: str
) -> None:
    """The fast path for harmless lines passes none of these characters."""
    log.configure(form, "info")
    log.logger().info("odd", value=f"a{character}b")
    (line,) = _lines(capfd)
    assert line.isprintable()
    if form == "json":
        assert json.loads(line)["value"] == f"a{character.encode('unicode_escape').decode()}b"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))


def test_a_plain_message_is_shown_as_it_is(make_report: MakeReport, capfd: pytest.CaptureFixture[str]) -> None:
    """Printable text of any script is not escaped."""
    log.configure("json", "info")
    log.message(make_report(sender="<jürgen@例え.example>".encode()), worker=0)
    assert _one(capfd)["sender"] == "<jürgen@例え.example>"


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, "\udcff", float("nan"), {1, 2}, Path("/x"), [b"\x1b"], {"a": b"\n"}]
)
def test_any_value_can_be_logged(capfd: pytest.CaptureFixture[str], form: str, value: object) -> None:
    """No value makes the log raise."""
    log.configure(form, "info")
    log.logger().info("odd", value=value)
    (line,) = _lines(capfd)
    assert line.isprintable()


def _hostile() -> None:
    raise ValueError("\x1b[31m\nforged")


def _raise() -> None:
    try:
        _hostile()
    except ValueError as error:
        raise RuntimeError("outer") from error


def test_an_exception_is_two_fields(capfd: pytest.CaptureFixture[str]) -> None:
    """`exception` has the text and `traceback` the frames, with the cause, all in one line."""
    log.configure("json", "info")
    try:
        _raise()
    except RuntimeError:
        log.logger(worker=1).exception("failed")
    line = _one(capfd)
    assert (line["level"], line["worker"], line["exception"]) == ("error", 1, "RuntimeError: outer")
    assert "ValueError" in line["traceback"]
    assert any("test_log.py" in frame and "_raise" in frame for frame in line["traceback"])
    assert "exc_info" not in line


def test_an_exception_on_the_console_cannot_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """On the console a traceback has several lines, each of them printable."""
    log.configure("console", "info")
    try:
        _hostile()
    except ValueError as error:
        log.logger().error("failed", exc_info=error)
    lines = _lines(capfd)
    assert len(lines) > 1
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("forged") for line in lines)


def test_a_deep_traceback_stays_below_the_line_limit(capfd: pytest.CaptureFixture[str]) -> None:
    """An endless recursion with thousands of frames is one short line, too."""
    log.configure("json", "info")

    def deeper() -> None:
        deeper()

    try:
        deeper()
    except RecursionError:
        log.logger().exception("failed")
    line = _one(capfd)
    assert line["exception"].startswith("RecursionError")


def test_lines_below_the_level_are_not_written(capfd: pytest.CaptureFixture[str]) -> None:
    """Lines below `level` are not written."""
    log.configure("json", "warning")
    log.logger().info("quiet")
    log.logger().warning("loud")
    assert _one(capfd)["event"] == "loud"


def test_errors_reach_a_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener receives each event of level error, and no other, at any level of the log."""
    received: list[dict[str, Any]] = []
    monkeypatch.setattr(log._in_force, "listener", None)  # noqa: SLF001 - undone at the end
    log.configure("json", "error")
    log.on_error(lambda event: received.append(dict(event)))
    log.logger().warning("mild")
    log.logger(worker=1).error("exception", where="eom", exc_info=ValueError("x"))
    assert [(one["event"], one["where"], one["worker"], one["exception"]) for one in received] == [
        ("exception", "eom", 1, "ValueError: x")
    ]


def test_context_is_bound_to_a_logger_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """Binding returns a new logger and does not change the old one."""
    log.configure("json", "info")
    plain = log.logger(worker=1)
    plain.bind(queue_id="A1").info("bound")
    plain.info("plain")
    bound, unbound = map(json.loads, _lines(capfd))
    assert (bound["worker"], bound["queue_id"]) == (1, "A1")
    assert "queue_id" not in unbound


def test_a_line_that_cannot_be_written_is_counted() -> None:
    """With a full disk or a reader that has gone, the line is lost but not the message."""
    log.configure("json", "info")
    sys.stdout.flush()
    kept = os.dup(1)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        os.dup2(full, 1)
        log.logger().info("lost")
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(full)
        log.OUTPUT.forget()  # otherwise the next line of another test would follow a report
    (family,) = service_metrics.LOG_LINES_LOST.child().collect()
    assert family.samples[0].value == 1


def test_lines_of_several_processes_do_not_mix(make_report: MakeReport) -> None:
    """Each line is one write of less than PIPE_BUF bytes."""
    assert resource.getpagesize() > log_line.LINE_LIMIT  # PIPE_BUF of Linux is the smallest page
    reading, writing = os.pipe()
    children = [_child_that_logs(writing, make_report, number) for number in range(3)]
    os.close(writing)
    with os.fdopen(reading) as pipe:
        lines = [json.loads(line) for line in pipe]
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert sorted(line["worker"] for line in lines) == [0] * 200 + [1] * 200 + [2] * 200


def _child_that_logs(writing: int, make_report: MakeReport, number: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(writing, 1)
        log.configure("json", "info")
        for _ in range(200):
            log.message(make_report(sender=b"x" * 2900), worker=number)
        status = 0
    finally:
        os._exit(status)
