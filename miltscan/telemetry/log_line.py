"""The form of a log line: JSON for machines, or plain text for people. Pure, but for the time; `log` writes the lines.

No text of a message can break a line or a terminal: every value passes `core.text.readable`, and the keys are
miltscan's. A line has less than PIPE_BUF bytes, which POSIX makes atomic on a pipe, so lines of several workers never
mix.
"""

import json
import sys
import traceback
from collections.abc import Callable, Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog
from structlog.typing import Processor

from miltscan.core.text import readable

LINE_LIMIT = 4095  # bytes with the line feed: below PIPE_BUF of Linux (4,096), up to which a write to a pipe is atomic
FRAMES_SHOWN = 8
CHAIN_SHOWN = 3
_TEXT_LIMITS = (1000, 500, 250, 125, 62, 31, 15)  # characters of each text, tried in turn until the line fits
_INTEGERS = range(-(2**63), 2**64)  # what orjson can encode

Event = MutableMapping[str, Any]


def stamp(_logger: object, level: str, event: Event) -> Event:
    """Put time, level and event first."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"timestamp": now, "level": level, "event": event.pop("event"), **event}


def with_traceback(_logger: object, _level: str, event: Event) -> Event:
    """Turn `exc_info` (True or an exception) into `exception`, its last line, and `traceback`, a list of frames."""
    given = event.pop("exc_info", None)
    error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    if given and error:
        event["exception"] = "".join(traceback.format_exception_only(error)).strip()
        event["traceback"] = [line for link in _chain(error) for line in _frames(link)]
    return event


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(CHAIN_SHOWN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _frames(error: BaseException) -> Iterator[str]:
    yield type(error).__name__
    for frame in traceback.extract_tb(error.__traceback__)[-FRAMES_SHOWN:]:
        yield f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}"


def json_line(level: str, event: Event, limit: int) -> bytes:
    """Return an event as a line of JSON in ASCII, of at most `limit` bytes and without line feed, for another log."""

    def ascii_json(one: Event) -> bytes:
        return json.dumps(one).encode()

    return _bounded(ascii_json, stamp(None, level, event), limit).rstrip(b"\n")


def render_json(_logger: object, _level: str, event: Event) -> bytes:
    """Render a line; the last processor. A line of printable ASCII without a backslash contains nothing to clean.

    Most lines are of that kind, and checking the line costs a tenth of checking each value (1 against 13 us).
    """
    try:
        line = orjson.dumps(event, default=lambda value: readable(value if isinstance(value, bytes) else str(value)))
    except orjson.JSONEncodeError:  # a lone surrogate, or an integer of more than 64 bits
        return _bounded(orjson.dumps, event)
    harmless = line.isascii() and b"\\" not in line and b"\x7f" not in line
    return line + b"\n" if harmless and len(line) < LINE_LIMIT else _bounded(orjson.dumps, event)


def _bounded(render: Callable[[Event], bytes], event: Event, most: int = LINE_LIMIT) -> bytes:
    """Return the line, rendered with shorter and shorter texts until it fits."""
    line = b""
    for limit in _TEXT_LIMITS:
        line = render({key: _clean(value, limit) for key, value in event.items()}) + b"\n"
        if len(line) <= most:
            break
    return line


def _clean(value: object, limit: int) -> object:
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if value in _INTEGERS else str(value)
        case dict():
            return {key: _clean(item, limit) for key, item in value.items()}
        case list() | tuple():
            return [_clean(item, limit) for item in value]
        case bytes():
            return readable(readable(value, limit), limit)  # cut twice, as an escape is longer than its character
        case _:
            return readable(readable(str(value), limit), limit)


def console(*, colors: bool) -> Processor:
    """Return the last processor for people, who may see `colors`."""
    renderer = structlog.dev.ConsoleRenderer(colors=colors)

    def render(event: Event) -> bytes:
        frames = event.pop("traceback", None)
        if frames:  # the renderer puts them on separate lines below the event
            event["exception"] = "\n".join([*frames, event["exception"]])
        return str(renderer(None, event["level"], event)).encode()

    return lambda _logger, _level, event: _bounded(render, event)
