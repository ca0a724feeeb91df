"""The options by which `policy explain` is told of a message, each with the reader of its value."""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer

from miltscan.config.units import parse_size
from miltscan.core.message import Direction
from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction

T = TypeVar("T")


def _reads(expected: str, read: Callable[[str], T]) -> Callable[[str], T]:
    """The reader of an option, whose mistake names what is `expected`."""

    def parse(text: str) -> T:
        try:
            return read(text)
        except (ValueError, OverflowError):
            raise typer.BadParameter(f"expected {expected}") from None

    return parse


def _path(address: str) -> bytes:
    """An address as MAIL and RCPT name it."""
    bare = address.strip().removeprefix("<").removesuffix(">")
    return f"<{bare}>".encode("utf-8", "surrogateescape")


def _client(text: str) -> str:
    return text if text == "local" else str(ip_address(text))


def _size(text: str) -> int:
    return int(text) if text.isdecimal() else parse_size(text)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


def _reason(text: str) -> Limit | Fault:
    return Limit(text) if text in {*Limit} else Fault(text)


def of_verdict(reason: StrEnum | None) -> Limit | Fault | None:
    """The reason by its type, which an option cannot name: it is one of two."""
    return reason if isinstance(reason, Limit | Fault) else None


class GivenHeader(NamedTuple):
    """A header: NAME=VALUE."""

    name: bytes
    value: bytes


class GivenScore(NamedTuple):
    """The score of an anti-spam engine, and its action if that is known: ENGINE=N or ENGINE=N,ACTION."""

    engine: str
    score: float
    action: SpamAction | None


def _header(text: str) -> GivenHeader:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError
    return GivenHeader(name.encode("utf-8", "surrogateescape"), b" " + value.encode("utf-8", "surrogateescape"))


def _score(text: str) -> GivenScore:
    name, _, value = text.partition("=")
    score, comma, action = value.partition(",")
    return GivenScore(name, float(score), SpamAction(action) if comma else None)


Subject = Annotated[
    str,
    typer.Argument(
        metavar="FILE|QUEUE-ID|ID",
        help="A stored message, a queue ID in the log, or the whole ID of an entry of the quarantine.",
        show_default=False,
    ),
]
Sender = Annotated[
    bytes | None, typer.Option("--sender", metavar="ADDRESS", help="The sender; <> for none.", parser=_path)
]
Recipients = Annotated[
    list[bytes] | None,
    typer.Option("--recipient", metavar="ADDRESS", help="A recipient; may be repeated.", parser=_path),
]
ClientAddress = Annotated[
    str | None,
    typer.Option(
        "--client", metavar="IP", help="The address of the client.", parser=_reads("an IP address, or local", _client)
    ),
]
ClientName = Annotated[
    str | None, typer.Option("--client-name", metavar="NAME", help="Its name in DNS; with --client alone none.")
]
User = Annotated[str | None, typer.Option("--user", metavar="NAME", help="Who has authenticated; '' for nobody.")]
Tls = Annotated[bool | None, typer.Option("--tls/--no-tls", help="Whether the client uses TLS.")]
Daemon = Annotated[
    str | None, typer.Option("--daemon", metavar="NAME", help="The name of the port: DaemonPortOptions.")
]
Way = Annotated[
    Direction | None,
    typer.Option(
        "--direction",
        metavar="NAME",
        help="inbound, outbound, internal or submission.",
        parser=_reads(f"one of {', '.join(Direction)}", Direction),
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", metavar="SIZE", help="The size, such as 30MiB.", parser=_reads("a size such as 30MiB", _size)
    ),
]
OutcomeName = Annotated[
    Outcome | None,
    typer.Option(
        "--outcome",
        metavar="NAME",
        help="clean, spam, unscanned, error or infected.",
        parser=_reads(f"one of {', '.join(Outcome)}", Outcome),
    ),
]
Reason = Annotated[
    StrEnum | None,
    typer.Option(
        "--reason",
        metavar="NAME",
        help="Why it was not scanned, such as timeout.",
        parser=_reads(f"one of {', '.join((*Limit, *Fault))}", _reason),
    ),
]
Signature = Annotated[str | None, typer.Option("--signature", metavar="NAME", help="What was found.")]
EngineName = Annotated[str | None, typer.Option("--engine", metavar="NAME", help="The engine whose verdict that is.")]
Scores = Annotated[
    list[GivenScore] | None,
    typer.Option(
        "--score",
        metavar="ENGINE=N[,ACTION]",
        help="A score, and the action of the engine; may be repeated.",
        parser=_reads("ENGINE=N or ENGINE=N,ACTION such as 'rspamd=4.5,soft reject'", _score),
    ),
]
Headers = Annotated[
    list[GivenHeader] | None,
    typer.Option(
        "--header", metavar="NAME=VALUE", help="A header; may be repeated.", parser=_reads("NAME=VALUE", _header)
    ),
]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at",
        metavar="TIME",
        help="The time: 2026-12-31T18:00.",
        parser=_reads("a time such as 2026-12-31T18:00", _time),
    ),
]
Delivery = Annotated[bool, typer.Option("--delivery", help="By the rules of the delivery side.")]
LogFiles = Annotated[
    list[Path] | None,
    typer.Option("--log", "-l", metavar="FILE", help="Read this log; may be repeated.", readable=False),
]
