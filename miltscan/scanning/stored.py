"""`miltscan scan`: stored messages through the spool, pipeline and policy of the service; it prints nothing."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from miltscan.config.settings import Settings
from miltscan.core.message import PREFACE, Envelope, Message
from miltscan.core.report import Report
from miltscan.core.session import UNKNOWN_CLIENT, too_large
from miltscan.core.structure import Structure
from miltscan.core.text import readable
from miltscan.core.verdict import Outcome
from miltscan.scanning.pipeline import Pipeline
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapping

_CHUNK = 2**20  # bytes


def scan_stored(stream: BinaryIO, settings: Settings, pipeline: Pipeline) -> Report:
    """The report on the message in `stream`; OSError if it cannot be read, SpoolError if it cannot be kept."""
    with _spooled(stream, settings) as message:
        return pipeline.process(message, lambda: None)


def structure_of_stored(stream: BinaryIO, settings: Settings, unwrapping: Unwrapping | None) -> Structure | None:
    """The structure of the message in `stream`; None where it is not read. Raises as `scan_stored`."""
    with _spooled(stream, settings) as message:
        return unwrapping.of(message).known(lambda: None)[0] if unwrapping and not message.settled else None


@contextmanager
def _spooled(stream: BinaryIO, settings: Settings) -> Iterator[Message]:
    with closing(Spool(Path(settings.spool.directory), settings.spool.memory)) as spool:
        spool.write(PREFACE)
        limit = settings.limits.message_size
        size = _copy(stream, spool, limit)
        settled = too_large(size, limit) if size > limit else None
        yield Message(UNKNOWN_CLIENT, Envelope(b""), "", b"", (), size, spool, settled)


def _copy(stream: BinaryIO, spool: Spool, limit: int) -> int:
    """The size of the message; above the limit no more is kept, as in a session."""
    size = 0
    while chunk := stream.read(_CHUNK):
        data = chunk if size else _without_mailbox_line(chunk)
        size += len(data)
        if size <= limit:
            spool.write(data)
    return size


def _without_mailbox_line(start: bytes) -> bytes:
    """A mailbox file begins with `From SENDER DATE`, which is not a header."""
    return start.partition(b"\n")[2] if start.startswith(b"From ") else start


def report_fields(name: str, report: Report) -> dict[str, str | int | float | list[str] | None]:
    """The report as one JSON object."""
    verdict, decision = report.verdict, report.decision
    return {
        "file": readable(name),
        "size": report.message.size,
        "outcome": verdict.outcome,
        "signature": None if verdict.signature is None else readable(verdict.signature),
        "reason": verdict.reason,
        "detail": readable(verdict.detail),
        "part": readable(verdict.part) or None,
        "anomalies": list(report.message.structure.anomalies) if report.message.structure else [],
        "engine": verdict.engine,
        "server": verdict.server,
        "unscanned_by": [one.engine for one in report.missing],
        "rule": decision.rule,
        "action": decision.action.name,
        "reply": str(decision.reply) if decision.reply else None,
        "seconds": round(report.seconds, 3),
    }


def as_line(fields: Mapping[str, Any]) -> str:
    """The report as one line for a person, from `report_fields`."""
    why = fields["signature"] or fields["reason"]
    if why and fields.get("part"):
        why = f"{why} in part {fields['part']}"
    detail = f": {fields['detail']}" if fields["detail"] else ""
    absent = f"; not scanned by {', '.join(fields['unscanned_by'])}" if fields["unscanned_by"] else ""
    return f"{fields['file']}: {fields['outcome']}{f' ({why})' if why else ''}{detail}{absent}; {fields['action']}"


def exit_status(outcomes: Sequence[Outcome | None]) -> int:
    """1 if any message was infected, else 2 if any was not scanned (None: not readable), else 0."""
    if Outcome.INFECTED in outcomes:
        return 1
    return 0 if set(outcomes) <= {Outcome.CLEAN} else 2
