"""pyclamd's commands on our wire: deadlines hold, and no fault comes out."""

import os
import socket
import time
from pathlib import Path

import pyclamd
import pytest

from miltscan.core.address import parse_address
from miltscan.core.load import Load
from miltscan.core.verdict import Fault
from miltscan.engines.clamd import client as clamd_client
from miltscan.engines.clamd.client import Version, parse_version, ping, reload, stats, version
from miltscan.engines.clamd.reply import CLEAN, ClamdReply, Found
from miltscan.engines.reply import Failed
from miltscan.engines.wire import Target, targets
from miltscan.errors import SpoolError
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.fakes.eicar import EICAR
from tests.unit.engines.support import nothing, soon

TIMEOUT = 10.0
DATED = "ClamAV 1.4.6/27500/Mon Nov 10 09:35:12 2025"


def target(clamd: FakeClamd) -> Target:
    """What connects to this server."""
    return targets(parse_address(clamd.address))[0]


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_commands(kind: str, tmp_path: Path) -> None:
    """Each command has its own connection, and no connection is opened only as a test."""
    with FakeClamd.tcp() if kind == "tcp" else FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        place = target(clamd)
        assert ping(place, TIMEOUT)
        assert reload(place, TIMEOUT)
        assert stats(place, TIMEOUT) == Load(queue=0, live=1, idle=0, max=10)
        assert (version(place, TIMEOUT) or Version("")).signatures == 27700
        assert clamd.commands == [b"PING", b"RELOAD", b"STATS", b"VERSION"]


@pytest.mark.parametrize("answer", [b"", b"\xff\xfe", b"UNKNOWN COMMAND", b"PONGO", b"ERROR"])
def test_odd_answers_are_none(answer: bytes, tmp_path: Path) -> None:
    """Any other text counts as no answer to the command."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        clamd.answers = dict.fromkeys(clamd.answers, answer)
        place = target(clamd)
        assert not ping(place, TIMEOUT)
        assert not reload(place, TIMEOUT)
        assert stats(place, TIMEOUT) is None
        assert version(place, TIMEOUT) is None


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a server there is no answer."""
    assert not ping(Target(socket.AF_UNIX, str(tmp_path / "none")), TIMEOUT)


def test_a_server_that_says_nothing() -> None:
    """The wait ends without an answer, and is not repeated as by pyclamd (five times)."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert version(Target(socket.AF_INET, listener.getsockname()), 0.2) is None


@pytest.mark.parametrize(
    ("text", "signatures"),
    [
        (DATED, 27500),
        ("ClamAV 0.103.12/27700/Sat Jan  3 10:00:00 2026", 27700),
        ("ClamAV 1.5.0-beta/1/Sat Jan 03 10:00:00 2026", 1),
        ("ClamAV 1.4.6", None),
        ("ClamAV 1.4.6/", None),
        ("ClamAV 1.4.6/27500", None),
        ("ClamAV 1.4.6/27500/", None),
        ("ClamAV 1.4.6/27500/Mon Foo 10 09:35:12 2025", None),
        ("ClamAV 1.4.6/27500/Mon Nov 40 09:35:12 2025", None),
        ("ClamAV 1.4.6/x/Mon Nov 10 09:35:12 2025", None),
    ],
)
def test_version_texts(text: str, signatures: int | None) -> None:
    """The database's version and date, or only the text where there is none."""
    parsed = parse_version(text)
    assert parsed is not None
    assert (parsed.text, parsed.signatures) == (text, signatures)
    assert (parsed.published is None) == (signatures is None)


def test_the_date_is_local_time() -> None:
    """Seconds since the epoch, of a date that names no zone."""
    parsed = parse_version(DATED)
    assert parsed is not None
    assert parsed.published is not None
    assert time.asctime(time.localtime(parsed.published)) == "Mon Nov 10 09:35:12 2025"


@pytest.mark.parametrize("text", ["", "None", "Clam", "\0", "UNKNOWN COMMAND"])
def test_no_version(text: str) -> None:
    """Other texts are no version."""
    assert parse_version(text) is None


def test_the_test_signature_is_eicar() -> None:
    """To the byte: databases know it by its hash."""
    assert clamd_client.test_signature() == EICAR


def test_a_session_is_opened_once(tmp_path: Path) -> None:
    """The first descriptor goes with the command that opens the session, the others go without it."""
    descriptor = os.memfd_create("test")
    os.write(descriptor, b"hello")
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        with clamd_client.open_client(target(clamd), soon(), nothing) as client:
            client.connect()
            assert [client.fildes(descriptor) for _ in range(3)] == [CLEAN] * 3
        assert clamd.commands == [b"IDSESSION", b"FILDES", b"FILDES", b"FILDES"]
    os.close(descriptor)


@pytest.mark.parametrize(
    ("broken", "text", "expected"),
    [
        (False, b"OK", CLEAN),
        (True, b"OK", Failed(Fault.CLOSED, "OK, but the connection broke")),
        (False, b"X FOUND", Found("X")),
        (True, b"X FOUND", Found("X")),
    ],
)
def test_an_ok_over_a_broken_connection_is_a_fault(
    broken: bool,  # noqa: FBT001 - a table
    text: bytes,
    expected: ClamdReply,
) -> None:
    """What may be cut off after an OK could take it back; a signature that was found stays found."""
    descriptor = os.memfd_create("test")
    with FakeClamd.tcp(lies.says(text)) as clamd, clamd_client.open_client(target(clamd), soon(), nothing) as client:
        client.connect()
        client._wire.broken = broken  # noqa: SLF001 - a reset at the right moment cannot be timed
        assert client.instream(descriptor) == expected
    os.close(descriptor)


@pytest.mark.parametrize(
    ("family", "kind"), [(socket.AF_UNIX, pyclamd.ClamdUnixSocket), (socket.AF_INET, pyclamd.ClamdNetworkSocket)]
)
def test_the_kind_of_client_is_that_of_the_address(family: int, kind: type) -> None:
    """A unix socket and a TCP socket each have a class of pyclamd."""
    with clamd_client.open_client(Target(family, "/none"), soon(), nothing) as client:
        assert isinstance(client, kind)


def test_an_unreadable_spool_is_told_from_a_fault_of_the_server(tmp_path: Path) -> None:
    """The server is not to blame for it."""
    descriptor = os.open(tmp_path, os.O_RDONLY)  # a folder cannot be read
    with FakeClamd.tcp() as clamd, clamd_client.open_client(target(clamd), soon(), nothing) as client:
        client.connect()
        with pytest.raises(SpoolError):
            client.instream(descriptor)
    os.close(descriptor)


def test_a_message_larger_than_a_chunk_is_sent_whole() -> None:
    """The chunks of a stream are the bytes of the file in their order."""
    data, descriptor = os.urandom(300_000), os.memfd_create("test")
    os.write(descriptor, data)
    with FakeClamd.tcp() as clamd, clamd_client.open_client(target(clamd), soon(), nothing) as client:
        client.connect()
        assert client.instream(descriptor) is CLEAN
        assert [*clamd.contents] == [data]
    os.close(descriptor)


def test_the_timeout_of_a_command_counts_from_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of the connection is now plus the timeout."""
    deadlines: list[float] = []

    def refuse(_target: Target, deadline: float, _tick: object) -> None:
        deadlines.append(deadline)
        raise OSError

    monkeypatch.setattr(clamd_client, "open_client", refuse)
    before = time.monotonic()
    assert not ping(Target(socket.AF_UNIX, "/none"), TIMEOUT)
    assert before + TIMEOUT <= deadlines[0] <= time.monotonic() + TIMEOUT
