"""Facts that rules read and that the log line of a message would else not have: to texts for the log, and back. Pure.

    user=alice   tls=true   daemon=MSA   header=List-Id: <news.example.org>   header=X-Absent

A header without a colon is one that the message does not have. What is not noted is unknown.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from miltscan.core.message import Message
from miltscan.core.rules import Rules

HEADERS_NOTED = 10
"""Headers of a message that are noted: the first values of each name that rules read."""
_LONGEST = 200  # characters of a value; a longer one is unknown
_NAMES = 20


class Noted(NamedTuple):
    """What the notes say; None is unknown, and so is a header that is not in `headers`."""

    user: str | None = None
    tls: bool | None = None
    daemon: str | None = None
    headers: Mapping[bytes, Sequence[bytes]] = {}


def notes_on(rules: Rules, message: Message) -> Iterator[str]:
    """The notes on a message: only facts that the rules read."""
    given, reads = message.circumstances, rules.reads
    if "user" in reads and len(given.user) <= _LONGEST:
        yield f"user={given.user}"
    if "tls" in reads:
        yield f"tls={'true' if given.tls_version else 'false'}"
    if "daemon" in reads and len(given.daemon) <= _LONGEST:
        yield f"daemon={given.daemon}"
    if rules.headers:
        yield from _headers(rules.headers[:_NAMES], message)


def _headers(names: Sequence[bytes], message: Message) -> Iterator[str]:
    left = HEADERS_NOTED
    for name in names:
        values = [value.decode("utf-8", "backslashreplace") for one, value in message.headers if one.lower() == name]
        if len(values) > left or any(len(value) > _LONGEST for value in values):
            continue  # as unknown as one that does not fit
        left -= len(values)
        if not values:
            yield f"header={name.decode()}"
        yield from (f"header={name.decode()}:{value}" for value in values)


def read_notes(notes: Sequence[str]) -> Noted:
    """What the notes say; a text that is none says nothing."""
    found: dict[str, str] = {}
    headers: dict[bytes, list[bytes]] = {}
    for note in notes:
        key, _, value = note.partition("=")
        if key == "header":
            name, colon, text = value.partition(":")
            values = headers.setdefault(name.encode(), [])
            if colon:
                values.append(text.encode())
        else:
            found[key] = value
    tls = {"true": True, "false": False}.get(found.get("tls", ""))
    return Noted(found.get("user"), tls, found.get("daemon"), headers)
