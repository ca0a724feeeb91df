"""The milter wire protocol, version 6, as the MTA sees it: tables of codes, and pure encode and parse functions.

A packet is a length of 4 bytes in network order, one code byte (counted in the length) and the payload. Names and
numbers come from libmilter/mfdef.h and libmilter/mfapi.h of sendmail 8.17.1. Everything is bytes end to end: what a
client may send, a test may send. No socket is opened here; `tests/fakes/mta.py` does the reading and writing.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, IntFlag
from typing import Final

VERSION: Final = 6
CHUNK_SIZE: Final = 65535  # bytes of body in one packet (MILTER_CHUNK_SIZE)
LENGTH: Final = struct.Struct("!I")
THREE_WORDS: Final = struct.Struct("!III")


class ProtocolError(Exception):
    """The milter sent bytes that are no reply of the protocol: its fault, not the test's."""


class Command(Enum):
    """What the MTA sends (SMFIC_*)."""

    ABORT = b"A"
    BODY = b"B"
    CONNECT = b"C"
    MACRO = b"D"
    EOM = b"E"
    HELO = b"H"
    QUIT_NC = b"K"
    HEADER = b"L"
    MAIL = b"M"
    EOH = b"N"
    OPTNEG = b"O"
    QUIT = b"Q"
    RCPT = b"R"
    DATA = b"T"
    UNKNOWN = b"U"


class Code(Enum):
    """What the milter answers (SMFIR_*), and its half of the option negotiation."""

    ADD_RECIPIENT = b"+"
    DELETE_RECIPIENT = b"-"
    ADD_RECIPIENT_ARGS = b"2"
    SHUTDOWN = b"4"
    OPTNEG = b"O"
    ACCEPT = b"a"
    REPLACE_BODY = b"b"
    CONTINUE = b"c"
    DISCARD = b"d"
    CHANGE_SENDER = b"e"
    CONNECTION_FAILURE = b"f"
    ADD_HEADER = b"h"
    INSERT_HEADER = b"i"
    SET_MACROS = b"l"
    CHANGE_HEADER = b"m"
    PROGRESS = b"p"
    QUARANTINE = b"q"
    REJECT = b"r"
    SKIP = b"s"
    TEMPFAIL = b"t"
    REPLYCODE = b"y"


# Replies after which a step is not over yet: the milter still owes an answer.
INTERIM: Final = frozenset(
    {
        Code.ADD_RECIPIENT,
        Code.DELETE_RECIPIENT,
        Code.ADD_RECIPIENT_ARGS,
        Code.REPLACE_BODY,
        Code.CHANGE_SENDER,
        Code.ADD_HEADER,
        Code.INSERT_HEADER,
        Code.CHANGE_HEADER,
        Code.PROGRESS,
        Code.QUARANTINE,
    },
)


class Actions(IntFlag):
    """What a milter may do to a message (SMFIF_*)."""

    ADDHDRS = 0x001
    CHGBODY = 0x002
    ADDRCPT = 0x004
    DELRCPT = 0x008
    CHGHDRS = 0x010
    QUARANTINE = 0x020
    CHGFROM = 0x040
    ADDRCPT_PAR = 0x080
    SETSYMLIST = 0x100
    ALL = 0x1FF  # SMFI_CURR_ACTS


class Protocol(IntFlag):
    """Which steps are left out (NO*), which get no reply (NR_*), and what the MTA understands (SMFIP_*)."""

    NONE = 0
    NOCONNECT = 0x000001
    NOHELO = 0x000002
    NOMAIL = 0x000004
    NORCPT = 0x000008
    NOBODY = 0x000010
    NOHDRS = 0x000020
    NOEOH = 0x000040
    NR_HDR = 0x000080
    NOUNKNOWN = 0x000100
    NODATA = 0x000200
    SKIP = 0x000400
    RCPT_REJ = 0x000800
    NR_CONN = 0x001000
    NR_HELO = 0x002000
    NR_MAIL = 0x004000
    NR_RCPT = 0x008000
    NR_DATA = 0x010000
    NR_UNKN = 0x020000
    NR_EOH = 0x040000
    NR_BODY = 0x080000
    HDR_LEADSPC = 0x100000
    ALL = 0x1FFFFF  # SMFI_CURR_PROT


class Stage(IntEnum):
    """The steps for which a milter may choose its macros (SMFIM_*)."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    EOM = 5
    EOH = 6


# command: (bit that leaves the step out, bit that makes it go without a reply)
STEP_BITS: Final[Mapping[Command, tuple[Protocol, Protocol]]] = {
    Command.CONNECT: (Protocol.NOCONNECT, Protocol.NR_CONN),
    Command.HELO: (Protocol.NOHELO, Protocol.NR_HELO),
    Command.MAIL: (Protocol.NOMAIL, Protocol.NR_MAIL),
    Command.RCPT: (Protocol.NORCPT, Protocol.NR_RCPT),
    Command.DATA: (Protocol.NODATA, Protocol.NR_DATA),
    Command.HEADER: (Protocol.NOHDRS, Protocol.NR_HDR),
    Command.EOH: (Protocol.NOEOH, Protocol.NR_EOH),
    Command.BODY: (Protocol.NOBODY, Protocol.NR_BODY),
    Command.UNKNOWN: (Protocol.NOUNKNOWN, Protocol.NR_UNKN),
    Command.EOM: (Protocol.NONE, Protocol.NONE),
}

# What the client of sendmail 8.17 receives; a REPLYCODE brings its own text.
SMTP_REPLIES: Final[Mapping[Code, bytes]] = {
    Code.CONTINUE: b"250 2.0.0 Message accepted for delivery",
    Code.ACCEPT: b"250 2.0.0 Message accepted for delivery",
    Code.DISCARD: b"250 2.0.0 Message accepted for delivery",
    Code.REJECT: b"554 5.7.1 Command rejected",
    Code.TEMPFAIL: b"451 4.3.2 Please try again later",
    Code.CONNECTION_FAILURE: b"421 4.3.0 closing connection",
    Code.SHUTDOWN: b"421 4.3.0 closing connection",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One packet of the milter: its code and the payload as sent."""

    code: Code
    payload: bytes = b""

    @property
    def smtp(self) -> bytes:
        """What the SMTP client receives; empty for a packet that ends no step."""
        return self.payload.removesuffix(b"\0") if self.code is Code.REPLYCODE else SMTP_REPLIES.get(self.code, b"")


@dataclass(frozen=True, slots=True)
class HeaderEdit:
    """One header change: the code is add, insert or change; an index of None appends, an empty value deletes."""

    code: Code
    name: bytes
    value: bytes
    index: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """What one side offers or both agreed on; `macros` holds the lists the milter asked for, by stage."""

    version: int = VERSION
    actions: Actions = Actions.ALL
    protocol: Protocol = Protocol.ALL
    macros: Mapping[Stage, tuple[bytes, ...]] = field(default_factory=dict)

    def sends(self, command: Command) -> bool:
        """Whether the milter asked for this step."""
        return command not in STEP_BITS or not self.protocol & STEP_BITS[command][0]

    def replies(self, command: Command) -> bool:
        """Whether the milter answers this step."""
        return command in STEP_BITS and not self.protocol & STEP_BITS[command][1]


def packet(code: bytes, payload: bytes = b"") -> bytes:
    """One packet on the wire; `code` is any single byte, so that a test can send one that means nothing."""
    return LENGTH.pack(len(code) + len(payload)) + code + payload


def encode(command: Command, payload: bytes = b"") -> bytes:
    """One command on the wire."""
    return packet(command.value, payload)


def strings(*values: bytes) -> bytes:
    """The payload of a command of words: each ended by NUL."""
    return b"".join(value + b"\0" for value in values)


def encode_options(options: Options) -> bytes:
    """The MTA's offer, the first packet of a session."""
    return encode(Command.OPTNEG, THREE_WORDS.pack(options.version, options.actions, options.protocol))


def encode_macros(command: Command, macros: Mapping[bytes, bytes]) -> bytes:
    """The macros for `command`; it goes right before it. Names of several letters carry their braces."""
    pairs = (word for item in macros.items() for word in item)
    return encode(Command.MACRO, command.value + strings(*pairs))


def connect_payload(host: bytes, family: bytes, port: int, address: bytes) -> bytes:
    """The payload of CONNECT; family is b"4", b"6", b"L" (unix) or b"U" (unknown: no port, no address)."""
    return strings(host) + family + (b"" if family == b"U" else struct.pack("!H", port) + strings(address))


def body_chunks(body: bytes, size: int = CHUNK_SIZE) -> Iterable[bytes]:
    """The body in pieces of `size` bytes as sendmail cuts it; an empty body has none."""
    return (body[start : start + size] for start in range(0, len(body), size))


def split_packet(data: bytes) -> tuple[bytes, bytes] | None:
    """The first packet of `data` without its length, and the rest; None while bytes are missing."""
    if len(data) < LENGTH.size:
        return None
    end = LENGTH.size + LENGTH.unpack_from(data)[0]
    return (data[LENGTH.size : end], data[end:]) if len(data) >= end else None


def parse_reply(content: bytes) -> Reply:
    """Read a packet without its length as a reply of the milter; ProtocolError if it is not one."""
    try:
        return Reply(Code(content[:1]), content[1:])
    except ValueError as error:
        raise ProtocolError(f"no such reply: {content[:80]!r}") from error


def parse_options(reply: Reply) -> Options:
    """The milter's half of the negotiation; ProtocolError if it is something else or too short."""
    if reply.code is not Code.OPTNEG or len(reply.payload) < THREE_WORDS.size:
        raise ProtocolError(f"no option negotiation: {reply}")
    version, actions, protocol = THREE_WORDS.unpack_from(reply.payload)
    macros = parse_macro_lists(reply.payload[THREE_WORDS.size :])
    return Options(version, Actions(actions), Protocol(protocol), macros)


def parse_macro_lists(data: bytes) -> dict[Stage, tuple[bytes, ...]]:
    """The macro lists (SETSYMLIST) behind the three words: stage in 4 bytes, names separated by blanks, NUL."""
    lists = {}
    while data:
        if len(data) < LENGTH.size or b"\0" not in data[LENGTH.size :]:
            raise ProtocolError(f"cut macro list: {data!r}")
        names, _, rest = data[LENGTH.size :].partition(b"\0")
        lists[Stage(LENGTH.unpack_from(data)[0])] = tuple(names.split())
        data = rest
    return lists


def parse_header_edit(reply: Reply) -> HeaderEdit:
    """The header change in an ADD, INSERT or CHANGE packet; ProtocolError if it is cut short."""
    indexed = reply.code in (Code.INSERT_HEADER, Code.CHANGE_HEADER)
    words = reply.payload[LENGTH.size if indexed else 0 :].split(b"\0")
    if len(words) != 3:  # name, value, and nothing behind the last NUL
        raise ProtocolError(f"no header edit: {reply}")
    index = LENGTH.unpack_from(reply.payload)[0] if indexed else None
    return HeaderEdit(reply.code, words[0], words[1], index)
