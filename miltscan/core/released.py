"""The headers of a message that leaves the quarantine: those that only we may add are replaced. Pure.

    X-Miltscan-Receipt: ...                               its proof for a delivery side that verifies receipts
    X-Miltscan-Released: 01jdq4xk2m8v3n7w5rst             the ID of its entry
    X-Virus-Scanned: miltscan 0.1 at mx.example.org       as on an accepted message
    X-Virus-Status: Infected (Win.Test.EICAR_HDB-1)
    Received: from client.example.org ([192.0.2.7]) by mx.example.org (miltscan quarantine) id 6AMG4FAU001849; ...

The incoming sendmail adds its own `Received:` only to what it hands over itself, and the message was taken from it
before. Without ours nothing in the message would name its client, and a loop through the release would have no hops.

All other fields stay byte for byte, folds included.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from miltscan.core.edits import Header
from miltscan.core.message import Client
from miltscan.core.policy import SCANNED_HEADER, STATUS_HEADER
from miltscan.core.receipt import RECEIPT_HEADER
from miltscan.core.reply_text import status
from miltscan.core.text import printable_ascii
from miltscan.core.verdict import Verdict

RELEASED_HEADER = "X-Miltscan-Released"
_OURS = (b"x-miltscan-",)
_ABOUT_SCANS = (b"x-virus-", b"x-spam-")
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}", re.ASCII)


class Passport(NamedTuple):
    """What the added fields say: ID of the entry, the latest verdict, and where and when the message was received.

    `scanned_by` is the value of X-Virus-Scanned; None where the site leaves such headers alone. `host` is the name of
    this host, `received` a date of RFC 5322.
    """

    entry: str
    verdict: Verdict
    client: Client
    queue_id: str
    host: str
    received: str
    scanned_by: str | None


def released(
    headers: Sequence[Header], passport: Passport, sign: Callable[[Sequence[Header]], str] | None
) -> list[Header]:
    """The headers of the released message; `sign` returns the receipt of these headers, None makes none."""
    removed = _OURS if passport.scanned_by is None else (*_OURS, *_ABOUT_SCANS)
    kept = [field for field in headers if not field[0].lower().startswith(removed)]
    added = [*_added(passport)]
    return [*([_field(RECEIPT_HEADER, sign([*added, *kept]))] if sign else []), *added, *kept]


def _added(passport: Passport) -> Iterator[Header]:
    yield _field(RELEASED_HEADER, passport.entry)
    if passport.scanned_by is not None:
        yield _field(SCANNED_HEADER, passport.scanned_by)
        yield _field(STATUS_HEADER, status(passport.verdict))
    yield received_field(passport.client, passport.queue_id, passport.host, "quarantine", passport.received)


def received_field(client: Client, queue_id: str, host: str, by: str, date: str) -> Header:
    """A trace field for a message of `client` that `host` received as `queue_id` on `date` and sends on: see above.

    `by` is the part of miltscan that does.
    """
    name, address = (text if _NAME.fullmatch(text) else "unknown" for text in client)
    literal = f"IPv6:{address}" if address.count(":") > 1 and not address.startswith("IPv6:") else address
    source = f"{name} ([{literal}])" if address != name else name
    known = printable_ascii(queue_id, 64)
    made = f" id {known}" if known else ""
    return _field("Received", f"from {source} by {host} (miltscan {by}){made}; {date}")


def _field(name: str, value: str) -> Header:
    return name.encode(), b" " + value.encode("ascii", "replace")


def head_and_body(chunks: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The head with the empty line at its end, and the body; each line of the message ends in CRLF."""
    read, searched = bytearray(b"\r\n"), 0  # so that an empty line is found at the begin, too
    for chunk in chunks:
        read += chunk
        end = read.find(b"\r\n\r\n", searched)
        if end >= 0:
            return bytes(read[2 : end + 4]), chain([bytes(read[end + 4 :])], chunks)
        searched = max(0, len(read) - 3)
    return bytes(read[2:]) + b"\r\n", iter(())  # no MTA passes on a message without the empty line


def parse_head(head: bytes) -> list[Header]:
    """The fields of a head with CRLF line ends; a value has its leading space and its folds as they are.

    A line without a colon, which no MTA passes on, is a name without a value.
    """
    fields: list[list[bytes]] = []
    text = head.removesuffix(b"\r\n").removesuffix(b"\r\n")
    for line in text.split(b"\r\n") if text else ():
        if fields and line[:1] in {b" ", b"\t"}:
            fields[-1].append(line)
        else:
            fields.append([line])
    return [(name, value) for lines in fields for name, _, value in [b"\r\n".join(lines).partition(b":")]]


def as_head(headers: Sequence[Header]) -> bytes:
    """The fields as they stand in a message, with the empty line after them."""
    return b"\r\n".join([*(b"%b:%b" % field for field in headers), b"", b""])
