"""The events: the code logs what is defined, and the documentation is made from it."""

import ast
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import miltscan
from docs.generator import log_events, log_page
from miltscan.core.probe import ProbeKind
from miltscan.core.report import Report
from miltscan.core.verdict import Fault, Limit, Verdict
from miltscan.telemetry import log

MakeReport = Callable[..., Report]

PACKAGE = Path(miltscan.__file__).parent
LEVELS = {"debug", "info", "warning", "error", "critical"}
CONTEXT = {"worker"}
"""What is bound to a logger, not given with an event."""


def _calls(source: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yield event, level and fields of each call like `log.info("event", field=...)`."""
    for node in ast.walk(ast.parse(source.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1):
            continue
        name = node.args[0]
        if node.func.attr in LEVELS and isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value, node.func.attr, {keyword.arg for keyword in node.keywords if keyword.arg}


def _used() -> dict[str, tuple[set[str], set[str]]]:
    """Return levels and fields of each event in the code."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for source in PACKAGE.rglob("*.py"):
        for name, level, fields in _calls(source):
            levels, all_fields = found.setdefault(name, (set(), set()))
            levels.add(level)
            all_fields.update(fields)
    return found


def _defined() -> dict[str, tuple[set[str], set[str]]]:
    found = {}
    for event in log_events.EVENTS:
        fields = {field.name for field in event.fields} - CONTEXT
        if "traceback" in fields:
            fields = fields - {"exception", "traceback"} | {"exc_info"}
        found[event.name] = (set(event.levels), fields)
    del found["message"], found["probe_message"]  # written by a function of its own: below
    # made by functions: tests/unit/quarantine/test_audit.py, tests/unit/commands/test_hold.py
    for event in (*log_events.QUARANTINE_EVENTS, *log_events.HOLD_EVENTS, *log_events.LIST_EVENTS):
        del found[event.name]
    del found["log_lines_lost"]  # rendered by the log itself: tests/unit/telemetry/test_output.py
    return found


def test_the_code_logs_what_is_defined_and_nothing_else() -> None:
    """The code uses each event with its levels and fields, and no other event."""
    assert _used() == _defined()


def test_the_fields_of_a_message_are_those_defined(make_report: MakeReport) -> None:
    """The fields have the defined order, as programs match a line from its beginning."""
    message = next(event for event in log_events.EVENTS if event.name == "message")
    assert [*log.message_fields(make_report(), 0)] == [field.name for field in message.fields]
    probe = next(event for event in log_events.EVENTS if event.name == "probe_message")
    assert probe.fields[:-1] == message.fields


@pytest.mark.parametrize("kind", ProbeKind)
def test_the_line_of_a_probe_is_as_defined(
    make_report: MakeReport, capfd: pytest.CaptureFixture[str], kind: ProbeKind
) -> None:
    """The line of a probe is that of a message with another name, so that it is not counted as a message."""
    log.configure("json", "info")
    log.message(make_report()._replace(probe=kind), worker=3)
    line = json.loads(capfd.readouterr().out)
    assert (line["event"], line["probe"]) == ("probe_message", kind)
    assert log_events.deviations(line) == []


def test_the_documentation_is_what_the_code_says() -> None:
    """docs/logging.md is what the generator writes."""
    assert (PACKAGE.parent / "docs" / "logging.md").read_text() == log_page.documentation()


def test_each_event_is_defined_once() -> None:
    """No event is defined twice, nor a field of an event."""
    names = [event.name for event in log_events.EVENTS]
    assert len(names) == len(set(names))
    for event in log_events.EVENTS:
        fields = [field.name for field in (*log_events.EVERY_LINE, *event.fields)]
        assert len(fields) == len(set(fields)), event.name


def test_each_field_has_a_bound() -> None:
    """Each field has a list of values or a bound in words."""
    fields = [field for event in log_events.EVENTS for field in event.fields]
    assert [field.name for field in fields if not (field.bound or field.values)] == []


VERDICTS = [
    Verdict.clean("clamd", "unix:/a"),
    Verdict.infected("clamd", 'a "\\\x1b\udcff' * 3000, "unix:/a"),
    *(Verdict.unscanned("clamd", limit, "\n" * 5000) for limit in Limit),
    *(Verdict.error("clamd", fault, "x" * 5000) for fault in Fault),
]


@pytest.mark.parametrize("verdict", VERDICTS, ids=lambda verdict: f"{verdict.outcome}-{verdict.reason}")
def test_the_line_of_any_message_is_as_defined(
    make_report: MakeReport, capfd: pytest.CaptureFixture[str], verdict: Verdict
) -> None:
    """Types and bounds hold for any text of an engine."""
    log.configure("json", "info")
    log.message(make_report(verdict, sender=b"\xff\x00" * 9000, recipients=(b"\x1b" * 900,) * 50), worker=3)
    assert log_events.deviations(json.loads(capfd.readouterr().out)) == []


RIGHT: dict[str, Any] = {
    "timestamp": "2026-11-22T17:00:00.123+00:00",
    "level": "error",
    "event": "child_died",
    "child": "worker 1",
    "status": "killed by SIGKILL",
    "respawn_after": 0.0,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"event": "odd"}, ["event 'odd' is not documented"]),
        ({"level": "info"}, ["level 'info' of child_died"]),
        ({"extra": 1}, ["child_died: extra is not documented"]),
        ({"status": None}, ["child_died: status is null"]),
        ({"status": 1}, ["child_died: status = 1: expected text"]),
        ({"status": "\x1b"}, ["child_died: status = '\\x1b': expected text"]),
        ({"respawn_after": 31}, ["child_died: respawn_after = 31 is out of bounds"]),
        ({"respawn_after": True}, ["child_died: respawn_after = True: expected number"]),
        ({"timestamp": "2026-11-22T17:00:00"}, ["child_died: timestamp = '2026-11-22T17:00:00': expected time"]),
    ],
)
def test_a_line_that_deviates_is_reported(change: Mapping[str, object], expected: list[str]) -> None:
    """Each kind of deviation is reported."""
    assert log_events.deviations({**RIGHT, **change}) == expected


def test_a_missing_field_is_reported() -> None:
    """Only an optional field may be missing."""
    assert log_events.deviations({name: value for name, value in RIGHT.items() if name != "child"}) == [
        "child_died: child is missing"
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"outcome": "fine"}, ["outcome = 'fine': expected one of clean, spam, unscanned, error, infected"]),
        ({"ms": -1}, ["ms = -1 is out of bounds"]),
        ({"more": 1}, ["more is not documented"]),
    ],
)
def test_an_entry_of_a_list_is_checked(
    make_report: MakeReport,
    capfd: pytest.CaptureFixture[str],
    change: Mapping[str, object],
    expected: list[str],
) -> None:
    """The fields of an entry have bounds of their own."""
    log.configure("json", "info")
    log.message(make_report(), worker=3)
    line = json.loads(capfd.readouterr().out)
    line["engines"][0].update(change)
    assert log_events.deviations(line) == [f"message: {wrong}" for wrong in expected]
