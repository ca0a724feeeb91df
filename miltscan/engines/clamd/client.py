"""The only user of pyclamd: its socket classes on our `Wire`, with our own way to scan.

pyclamd's own scan_stream reports clean when clamd dies, and waits five times as long as it should. Its commands (PING,
VERSION, STATS, RELOAD) are used unchanged, but on a connection that keeps our deadline.
"""

import re
import struct
import time
from collections.abc import Callable, Iterator
from socket import AF_UNIX
from typing import NamedTuple, Self

import pyclamd

from miltscan.core.load import Load
from miltscan.core.verdict import Fault
from miltscan.engines.clamd.reply import CLEAN, MAX_REPLY, ClamdReply, Clean, Form, Found, parse_numbered, parse_reply
from miltscan.engines.clamd.stats import parse_stats
from miltscan.engines.files import file_chunks, spooled
from miltscan.engines.reply import Failed
from miltscan.engines.wire import Target, Wire

_LENGTH = struct.Struct("!I")
_MAX_ANSWER = 64 * 1024  # bytes of the answer to a command: STATS has a line for each thread that works
_VERSION = re.compile(r"ClamAV [^/]*/(\d+)/(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})")


class _ScanPath:
    """What pyclamd's classes lack, and their socket methods on a `Wire`.

    pyclamd's own constructors are not called: they open a connection only for a test. All methods raise DeadlineError,
    and OSError when the peer is gone. `used` is when the connection was last in use, in time.monotonic seconds.
    """

    def __init__(self, target: Target, deadline: float, tick: Callable[[], None]) -> None:
        self._wire = Wire(target, deadline, tick)
        self._asked = 0
        self.used = 0.0
        self.connect = self._wire.connect
        self.quiet = self._wire.quiet
        self.renew = self._wire.renew
        self.close = self._wire.close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def rest(self) -> None:
        """End an exchange after which the connection is kept."""
        self.used = time.monotonic()
        self._wire.forget_tick()

    def fildes(self, descriptor: int) -> ClamdReply:
        """Let clamd read the open file: command, descriptor and the one byte that carries it are sent by one sendmsg().

        In a session, so that the connection can be used again: a reply counts only with the number of its command.
        """
        self._asked += 1
        self._wire.send_descriptor(b"zFILDES\0\0" if self._asked > 1 else b"zIDSESSION\0zFILDES\0\0", descriptor)
        return parse_numbered(self._wire.receive_line(b"\0", MAX_REPLY), self._asked)

    def instream(self, descriptor: int) -> ClamdReply:
        """Send the file's content; raises SpoolError if it cannot be read.

        clamd may close the connection with an error while we still write, so its reply is read even then.
        """
        try:
            for frame in _frames(descriptor):
                self._wire.send(frame)
        except ConnectionError:
            self._wire.broken = True
        return self._streamed()

    def _streamed(self) -> ClamdReply:
        """The reply; an OK counts neither for half a message nor where a reset may have cut off what follows."""
        reply = parse_reply(self._wire.receive(MAX_REPLY), Form.STREAM)
        if reply is CLEAN and self._wire.broken:
            return Failed(Fault.CLOSED, "OK, but the connection broke")
        return reply

    def _init_socket(self) -> None:
        self._wire.connect()

    def _close_socket(self) -> None:
        self._wire.close()

    def _send_command(self, command: str) -> None:
        self._wire.send(f"z{command}\0".encode())

    def _recv_response(self) -> str:
        return self._wire.receive(_MAX_ANSWER).rstrip(b"\0").decode("utf-8", "backslashreplace").strip()

    _recv_response_multiline = _recv_response


class _UnixClient(_ScanPath, pyclamd.ClamdUnixSocket):  # type: ignore[misc]  # pyclamd has no types
    """clamd on a unix socket."""


class _NetworkClient(_ScanPath, pyclamd.ClamdNetworkSocket):  # type: ignore[misc]  # as above
    """clamd on a TCP socket."""


Client = _UnixClient | _NetworkClient


def open_client(target: Target, deadline: float, tick: Callable[[], None]) -> Client:
    """A client that is not connected yet, and that `with` closes; raises OSError if no socket is available."""
    return (_UnixClient if target.family == AF_UNIX else _NetworkClient)(target, deadline, tick)


def _frames(descriptor: int) -> Iterator[bytes]:
    """The command INSTREAM with the file from its first byte, in chunks with their length in front (clamd(8))."""
    yield b"zINSTREAM\0"
    for chunk in file_chunks(descriptor):
        yield _LENGTH.pack(len(chunk)) + chunk
    yield _LENGTH.pack(0)


class Version(NamedTuple):
    """clamd's answer to VERSION: its text, and the version and time of publication of its signatures.

    The last two are None where no dated database is loaded. clamd reports `published` (seconds since the epoch) in its
    local time, which is assumed to be ours: an error of hours in an age that is counted in days.
    """

    text: str
    signatures: int | None = None
    published: float | None = None


def parse_version(text: str) -> Version | None:
    """Parse `ClamAV 1.4.6/27500/Mon Nov 10 09:35:12 2025`, or only its first part; None for any other text."""
    if not text.startswith("ClamAV "):
        return None
    if not (database := _VERSION.fullmatch(text)):
        return Version(text)
    try:
        published = time.mktime(time.strptime(database[2], "%a %b %d %H:%M:%S %Y"))
    except (ValueError, OverflowError):
        return Version(text)
    return Version(text, int(database[1]), published)


def ping(target: Target, timeout: float) -> bool:
    """Whether clamd answers PING within `timeout` seconds, which does not show that it can scan."""
    return _ask(target, timeout, "ping") is True


def version(target: Target, timeout: float) -> Version | None:
    """The version that clamd reports within `timeout` seconds, or None."""
    return parse_version(str(_ask(target, timeout, "version")))


def stats(target: Target, timeout: float) -> Load | None:
    """The threads and queue that clamd reports within `timeout` seconds, or None."""
    return parse_stats(str(_ask(target, timeout, "stats")))


def reload(target: Target, timeout: float) -> bool:
    """Whether clamd has begun to reload its signatures within `timeout` seconds."""
    return _ask(target, timeout, "reload") == "RELOADING"


def test_signature() -> bytes:
    """The 68 bytes of EICAR, which pyclamd keeps encoded so that no scanner stops its source."""
    data: bytes = pyclamd.ClamdUnixSocket.EICAR(None)
    return data


def detects(target: Target, timeout: float, content: bytes) -> bool | None:
    """Whether clamd detects anything in `content` within `timeout` seconds; None after any fault."""
    try:
        with spooled(content) as descriptor, open_client(target, time.monotonic() + timeout, lambda: None) as client:
            client.connect()
            reply = client.instream(descriptor)
    except OSError:
        return None
    return isinstance(reply, Found) if isinstance(reply, Found | Clean) else None


def _ask(target: Target, timeout: float, command: str) -> object:
    """Result of `command` by pyclamd; None after any fault: pyclamd raises errors of any type (IndexError ...)."""
    try:
        with open_client(target, time.monotonic() + timeout, lambda: None) as client:
            return getattr(client, command)()
    except Exception:  # noqa: BLE001 - see above
        return None
