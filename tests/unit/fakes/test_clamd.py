"""The fake clamd: honest where it should be, and each lie as configured."""

import base64
import contextlib
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.fakes.eicar import EICAR

CLEAN = b"Subject: hi\r\n\r\nhello\r\n"
PLAIN = CLEAN + EICAR
BASE64 = CLEAN + base64.encodebytes(b"some" + EICAR)
FOUND = b"stream: Eicar-Test-Signature FOUND\0"


@pytest.fixture(params=["unix", "tcp"])
def clamd(request: pytest.FixtureRequest) -> Iterator[FakeClamd]:
    """A running fake clamd, on a unix socket and over TCP."""
    folder = Path(tempfile.mkdtemp(prefix="clamd-"))
    with FakeClamd.unix(folder / "ctl") if request.param == "unix" else FakeClamd.tcp() as server:
        yield server
    shutil.rmtree(folder)


@pytest.fixture
def unix_clamd(tmp_path: Path) -> Iterator[FakeClamd]:
    """A running fake clamd on a unix socket."""
    with FakeClamd.unix(tmp_path / "ctl") as server:
        yield server


def dial(clamd: FakeClamd, timeout: float = 60) -> socket.socket:
    """A client's connection, with a timeout on everything."""
    client = socket.socket(socket.AF_UNIX if isinstance(clamd.endpoint, str) else socket.AF_INET)
    client.settimeout(timeout)
    try:
        client.connect(clamd.endpoint)
    except OSError:
        client.close()
        raise
    return client


def instream(content: bytes, size: int = 1000) -> bytes:
    """The bytes of an INSTREAM command."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    return b"zINSTREAM\0" + b"".join(struct.pack("!I", len(piece)) + piece for piece in [*pieces, b""])


def all_of(client: socket.socket) -> bytes:
    """What the server sends before it closes; ConnectionError if it resets."""
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def ask(clamd: FakeClamd, request: bytes) -> bytes:
    """One connection: request out, all replies in."""
    with dial(clamd) as client:
        client.sendall(request)
        return all_of(client)


def ask_fd(clamd: FakeClamd, content: bytes) -> bytes:
    """One FILDES scan of a memory file whose offset is at its end."""
    fd = os.memfd_create("mail")
    try:
        os.write(fd, content)
        with dial(clamd) as client:
            socket.send_fds(client, [b"zFILDES\0x"], [fd])
            return all_of(client)
    finally:
        os.close(fd)


def open_descriptors() -> int:
    """How many descriptors this process holds, the server's threads included."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    ("content", "reply"),
    [(CLEAN, b"stream: OK\0"), (b"", b"stream: OK\0"), (PLAIN, FOUND), (BASE64, FOUND)],
)
def test_honest_by_instream(clamd: FakeClamd, content: bytes, reply: bytes) -> None:
    """The content in chunks is judged together."""
    assert ask(clamd, instream(content, 7)) == reply
    assert list(clamd.contents) == [content]


@pytest.mark.parametrize("offset", range(4))
def test_base64_is_found_at_every_alignment(unix_clamd: FakeClamd, offset: int) -> None:
    """The fake finds EICAR after any text in the same part, with any line breaks."""
    text = base64.encodebytes(b"x" * offset + EICAR + b"y").replace(b"\n", b"\r\n")
    assert ask(unix_clamd, instream(text)) == FOUND


@pytest.mark.parametrize(("content", "verdict"), [(CLEAN, b"OK"), (PLAIN, b"Eicar-Test-Signature FOUND")])
def test_honest_by_fildes(unix_clamd: FakeClamd, content: bytes, verdict: bytes) -> None:
    """The file is read from its start, and no descriptor stays open."""
    before = open_descriptors()
    reply = ask_fd(unix_clamd, content)
    assert reply.startswith(b"fd[")
    assert reply.endswith(b"]: " + verdict + b"\0")
    unix_clamd.drop_connections()
    assert open_descriptors() == before


def test_fildes_without_a_descriptor(clamd: FakeClamd) -> None:
    """Over TCP, or when the client sends none, it is an error."""
    assert ask(clamd, b"zFILDES\0x") == b"No file descriptor received. ERROR\0"


def test_fildes_can_be_refused_at_run_time(unix_clamd: FakeClamd) -> None:
    """The refusal is any text, and other commands go on."""
    unix_clamd.fildes_refusal = b"UNKNOWN COMMAND"
    assert ask_fd(unix_clamd, CLEAN) == b"UNKNOWN COMMAND\0"
    assert ask(unix_clamd, instream(PLAIN)) == FOUND


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        (b"zPING\0", b"PONG\0"),
        (b"nPING\n", b"PONG\n"),
        (b"PING\n", b"PONG\n"),
        (b"zNONSENSE\0", b"UNKNOWN COMMAND\0"),
        (b"zIDSESSION\0zPING\0zPING\0zEND\0", b"1: PONG\0002: PONG\0"),
    ],
)
def test_simple_commands(clamd: FakeClamd, request_: bytes, reply: bytes) -> None:
    """The reply ends as the command did; a session numbers its replies."""
    assert ask(clamd, request_) == reply


def test_answers_can_be_changed(clamd: FakeClamd) -> None:
    """VERSION and STATS say what the test wants."""
    assert ask(clamd, b"zVERSION\0").startswith(b"ClamAV ")
    assert ask(clamd, b"nSTATS\n").endswith(b"END\n")
    clamd.answers[b"VERSION"] = b"ClamAV 0.1"
    assert ask(clamd, b"zVERSION\0") == b"ClamAV 0.1\0"
    assert clamd.commands == [b"VERSION", b"STATS", b"VERSION"]


def test_scans_in_a_session(clamd: FakeClamd) -> None:
    """Several streams over one connection, each reply with its number."""
    request = b"zIDSESSION\0" + instream(CLEAN) + instream(PLAIN) + b"zEND\0"
    assert ask(clamd, request) == b"1: stream: OK\x002: " + FOUND


@pytest.mark.parametrize(
    ("behaviour", "reply"),
    [
        (lies.always_ok, b"stream: OK\0"),
        (lies.close_without_answer, b""),
        (lies.half_reply, b"stream: O"),
        (lies.reply_without_end, b"stream: OK"),
        (lies.two_replies, b"stream: OK\0" + FOUND),
        (lies.not_utf8, b"stream: \xff\xfe\x80 OK\0"),
        (lies.wrong_name, b"/var/tmp/other: OK\0"),
        (lies.limits_exceeded, b"stream: Heuristics.Limits.Exceeded.MaxFileSize FOUND\0"),
        (lies.encrypted, b"stream: Heuristics.Encrypted.Zip FOUND\0"),
        (lies.fails(b"Error writing to temporary file ERROR"), b"Error writing to temporary file ERROR\0"),
        (lies.fails(b"COMMAND READ TIMED OUT\n"), b"COMMAND READ TIMED OUT\n"),
    ],
)
def test_lies(clamd: FakeClamd, behaviour: lies.Behaviour, reply: bytes) -> None:
    """Each lie is these bytes and the end of the connection, and honesty comes back at run time."""
    clamd.behaviour = behaviour
    assert ask(clamd, instream(PLAIN)) == reply
    clamd.behaviour = lies.honest
    assert ask(clamd, instream(PLAIN)) == FOUND


@pytest.mark.parametrize("fault", lies.FAULTS)
def test_no_fault_is_a_single_whole_ok(clamd: FakeClamd, fault: str) -> None:
    """What FAULTS promises: none of them is the reply of a clamd that found nothing."""
    clamd.behaviour = lies.FAULTS[fault]
    with dial(clamd) as client, contextlib.suppress(ConnectionError):
        client.sendall(instream(CLEAN))
        assert client.recv(65536) != b"stream: OK\0"


def test_reset_in_mid_stream(clamd: FakeClamd) -> None:
    """The client gets a reset while there is more to send."""
    clamd.behaviour = lies.reset_in_mid_stream
    with pytest.raises(ConnectionError):
        ask(clamd, instream(b"x" * 10_000))


def test_too_large_is_said_while_the_client_writes(clamd: FakeClamd) -> None:
    """Up to the limit honest; above it the error comes before the end of the stream."""
    clamd.behaviour = lies.too_large(2000)
    assert ask(clamd, instream(CLEAN)) == b"stream: OK\0"
    with dial(clamd) as client:
        client.sendall(instream(b"x" * 2001)[:-4])  # the end of the stream is still to come
        assert client.recv(100) == b"INSTREAM size limit exceeded. ERROR\0"


def test_endless_reply_ends_with_the_client(clamd: FakeClamd) -> None:
    """More and more comes, and the server survives that the client has enough."""
    clamd.behaviour = lies.endless_reply
    with dial(clamd) as client:
        client.sendall(instream(CLEAN))
        assert all(client.recv(65536) for _ in range(100))
    assert ask(clamd, b"zPING\0") == b"PONG\0"


def test_slow_until_released(clamd: FakeClamd) -> None:
    """Nothing is said before the event; other connections are not held up."""
    clamd.behaviour = slow = lies.Slow()
    with dial(clamd) as client:
        client.sendall(instream(PLAIN))
        assert slow.entered.wait(60)
        assert ask(clamd, b"zPING\0") == b"PONG\0"
        client.settimeout(0.05)
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(60)
        slow.released.set()
        assert all_of(client) == FOUND


def test_hang_ends_with_the_server(tmp_path: Path) -> None:
    """A scan that is never answered does not keep the server from ending."""
    with FakeClamd.unix(tmp_path / "ctl", lies.Slow()) as clamd:
        client = dial(clamd)
        client.sendall(instream(CLEAN))
    with client:
        assert all_of(client) == b""
    assert list(tmp_path.iterdir()) == []


def test_not_accepting(clamd: FakeClamd) -> None:
    """connect() itself does not succeed, and afterwards all is well again."""
    with clamd.not_accepting(), pytest.raises((TimeoutError, BlockingIOError)):
        dial(clamd, timeout=0.1)
    assert ask(clamd, b"zPING\0") == b"PONG\0"


def test_liar_that_knows_the_canary(clamd: FakeClamd) -> None:
    """Base64 EICAR is answered honestly, all else by the lie."""
    clamd.behaviour = lies.unless_canary(lies.half_reply)
    assert ask(clamd, instream(BASE64)) == FOUND
    assert ask(clamd, instream(PLAIN)) == b"stream: O"


def test_eicar_is_not_in_the_sources() -> None:
    """The source holds no byte sequence that a scanner would stop."""
    fakes = Path(__file__).parents[2] / "fakes"
    assert not [path for path in fakes.glob("*.py") if EICAR[30:50] in path.read_bytes()]
