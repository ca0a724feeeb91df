"""Stored messages through the pipeline of the service."""

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.message import PREFACE, Message
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.assemble import pipeline_for, probed_pipeline
from miltscan.scanning.pipeline import scan_slots
from miltscan.scanning.servers import ServerRecords
from miltscan.scanning.stored import as_line, exit_status, report_fields, scan_stored
from tests.fakes.engine import ScriptedEngine

if TYPE_CHECKING:
    from miltscan.scanning.pipeline import Pipeline


class StubEngine:
    """Finds VIRUS, and keeps the message that it was given, not its parts."""

    name = "clamd"
    required = True
    given = b""
    probed = False

    def probe(self) -> None:
        """One canary."""
        StubEngine.probed = True

    def scan(self, message: Message, _deadline: float, _tick: Tick) -> Verdict:
        """A verdict by the content."""
        assert StubEngine.probed
        given = os.pread(message.content.fileno(), 2**21, 0)
        if given.startswith(PREFACE):
            StubEngine.given = given
        if b"VIRUS" in given:
            return Verdict.infected("clamd", "Test\x1b", "unix:/run/a")
        return Verdict.clean("clamd", "unix:/run/a")


@pytest.fixture(autouse=True)
def _stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miltscan.scanning.assemble_engines.engine_for", lambda *_: StubEngine())


def settings(directory: Path) -> Settings:
    """A small spool, so that messages also reach the disk."""
    text = f'[spool]\nmemory = "1KiB"\ndirectory = "{directory}"\n[limits]\nmessage_size = "1MiB"'
    return parse_settings(text.encode(), "f")


def scanned(data: bytes, directory: Path) -> dict[str, Any]:
    """The fields of the report on `data`."""
    configured = settings(directory)
    return report_fields(
        "name", scan_stored(io.BytesIO(data), configured, probed_pipeline(configured, ServerRecords()))
    )


@pytest.mark.parametrize("size", [0, 10, 5000])
def test_an_engine_gets_the_whole_message_behind_the_preface(size: int, tmp_path: Path) -> None:
    """In memory and on disk alike."""
    data = b"Subject: a\r\n\r\n" + b"x" * size
    assert scanned(data, tmp_path)["outcome"] == "clean"
    assert PREFACE + data == StubEngine.given


def test_the_first_line_of_a_mailbox_is_left_out(tmp_path: Path) -> None:
    """The line is not a header, and would end the headers."""
    assert scanned(b"From a@example.test Thu Jan  1\nSubject: a\n\nb\n", tmp_path)["size"] == 14
    assert StubEngine.given == PREFACE + b"Subject: a\n\nb\n"


def test_the_report_names_signature_rule_and_reply(tmp_path: Path) -> None:
    """The reply is that of a session; no control character reaches the terminal."""
    fields = scanned(b"VIRUS", tmp_path)
    assert (fields["signature"], fields["rule"], fields["action"]) == (r"Test\x1b", "policy.on_infected", "reject")
    assert str(fields["reply"]).startswith("550 5.7.1 Virus found: Test?")
    assert as_line(fields) == r"name: infected (Test\x1b); reject"


def test_the_report_names_an_optional_engine_that_did_not_scan(tmp_path: Path) -> None:
    """The message is clean by the required engine, and the other one's silence is not hidden."""
    text = '[[engine]]\ntype = "clamd"\n[[engine]]\ntype = "clamd"\nname = "second"\nrequired = false\n'
    configured = parse_settings(f'{text}[spool]\ndirectory = "{tmp_path}"'.encode(), "f")
    second = ScriptedEngine(Verdict.error("second", Fault.CONNECT), name="second", required=False)
    pipeline = pipeline_for(configured, [StubEngine(), second], scan_slots(1), "")
    StubEngine.probed = True
    fields = report_fields("name", scan_stored(io.BytesIO(b"Subject: a\r\n\r\nb"), configured, pipeline))
    assert (fields["outcome"], fields["unscanned_by"]) == ("clean", ["second"])
    assert as_line(fields) == "name: clean; not scanned by second; accept"


def test_a_message_above_the_limit_is_not_scanned(tmp_path: Path) -> None:
    """As in a session: no engine is asked."""
    assert scanned(b"x" * 2**20, tmp_path)["outcome"] == "clean"
    assert len(StubEngine.given) == len(PREFACE) + 2**20
    StubEngine.given = b""
    fields = scanned(b"x" * (2**20 + 1), tmp_path)
    assert (fields["outcome"], fields["reason"], fields["size"]) == ("unscanned", "too-large", 2**20 + 1)
    assert as_line(fields) == "name: unscanned (too-large): 1048577 bytes, at most 1048576 are accepted; reject"
    assert StubEngine.given == b""


def test_a_message_above_the_limit_takes_no_room(tmp_path: Path) -> None:
    """It is read to its end for its size, but no further piece is kept."""

    class Rest:
        """Looks how much was kept."""

        kept = -1

        def process(self, message: Message, _tick: Tick) -> None:
            Rest.kept = os.fstat(message.content.fileno()).st_size

    scan_stored(io.BytesIO(b"x" * 2**23), settings(tmp_path), cast("Pipeline", Rest()))
    assert len(PREFACE) + 2**20 == Rest.kept


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([Outcome.CLEAN, Outcome.CLEAN], 0),
        ([Outcome.CLEAN, Outcome.INFECTED], 1),
        ([Outcome.UNSCANNED, Outcome.INFECTED], 1),
        ([None, Outcome.INFECTED], 1),
        ([Outcome.CLEAN, Outcome.UNSCANNED], 2),
        ([Outcome.CLEAN, Outcome.ERROR], 2),
        ([Outcome.CLEAN, None], 2),
    ],
)
def test_the_exit_status_is_that_of_the_worst(outcomes: list[Outcome | None], status: int) -> None:
    """Infected before not scanned or unreadable (None) before clean."""
    assert exit_status(outcomes) == status


def test_every_limit_has_a_line() -> None:
    """A report on any limit can be printed."""
    for limit in Limit:
        fields = {"file": "f", "outcome": "unscanned", "signature": None, "reason": limit, "detail": "", "action": "a"}
        assert as_line({**fields, "unscanned_by": []}) == f"f: unscanned ({limit}); a"
