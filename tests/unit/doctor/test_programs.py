"""Which program listens on which socket."""

import os
import socket
import time
from pathlib import Path

import pytest

from miltscan.core.address import InetAddress, UnixAddress
from miltscan.core.finding import Level
from miltscan.doctor.ports import listener_finding
from miltscan.doctor.programs import (
    RunningProgram,
    label,
    listeners,
    listeners_at,
    process,
    titles,
    unix_inodes,
)
from miltscan.processes.listening import listens, tcp_inodes

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:4A38 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 3394157 1 0 100 0 0 10 0
   1: 0100007F:4A38 0100007F:8AA2 01 00000000:00000000 00:00000000 00000000     0        0 3394158 3 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr ...
   0: 00000000000000000000000000000000:0019 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 77 1 0 100 0
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
00000000a461f186: 00000002 00000000 00010000 0001 01 3394245 /run/mil tscan.sock
00000000a461f187: 00000003 00000000 00000000 0001 03 3394246 /run/mil tscan.sock
00000000a461f188: 00000003 00000000 00000000 0001 03 3394247
00000000a461f189: 00000002 00000000 00010000 0001 01 3394248 /run/haproxy.sock.8805.tmp
"""
SENDMAIL = RunningProgram(7, "sendmail", "sendmail: accepting connections", 0)
MILTSCAN = RunningProgram(8, "python3.11", "/srv/bin/python /srv/bin/miltscan run", 0)
EXIM = RunningProgram(9, "exim4", "/usr/sbin/exim4 -bd", 0)


def test_tables_of_sockets() -> None:
    """Only sockets that listen on this port or path count."""
    assert (tcp_inodes(TCP, 19000), tcp_inodes(TCP, 19001), tcp_inodes(TCP6, 25)) == ({3394157}, set(), {77})
    assert (unix_inodes(UNIX, "/run/mil tscan.sock"), unix_inodes(UNIX, "/run")) == ({3394245}, set())
    assert (unix_inodes(UNIX, "/run/haproxy.sock"), unix_inodes(UNIX, "/run/haproxy")) == ({3394248}, set())
    assert (tcp_inodes("", 25), unix_inodes("", "/")) == (set(), set())


def test_this_process_is_found_by_its_sockets(tmp_path: Path) -> None:
    """Its sockets are found by port and by path while they listen."""
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        assert listeners_at(UnixAddress(str(tmp_path / "s"))) == []
        unix.listen()
        port = tcp.getsockname()[1]
        assert listens(port)
        assert os.getpid() in [one.pid for one in listeners(port)]
        assert listeners_at(InetAddress("localhost", port)) == listeners(port)
        assert [one.pid for one in listeners_at(UnixAddress(str(tmp_path / "s")))] == [os.getpid()]
    assert not listens(port)
    assert listeners(port) == []


def test_what_is_known_of_a_process() -> None:
    """A process has a program, arguments and a start; a missing one is None."""
    here = process(os.getpid())
    assert here is not None
    assert here.program.startswith("python")
    assert 0 < here.started <= time.time() + 1
    assert here.command in titles()
    assert process(2**22 + 1) is None
    assert label(2**22 + 1) == ""


@pytest.mark.parametrize(
    ("one", "sendmail", "miltscan"),
    [
        (SENDMAIL, True, False),
        (MILTSCAN, False, True),
        (EXIM, False, False),
        (RunningProgram(1, "python3", "python3 -m miltscan run", 0), False, True),
        (RunningProgram(1, "clamav-milter", "clamav-milter -c /etc/miltscan/clamav-milter.conf", 0), False, False),
    ],
)
def test_programs_are_recognised(one: RunningProgram, *, sendmail: bool, miltscan: bool) -> None:
    """A program with a folder of miltscan in its arguments is not miltscan."""
    assert (one.is_sendmail, one.is_miltscan) == (sendmail, miltscan)


@pytest.mark.parametrize(
    ("wanted", "there", "found", "level", "text"),
    [
        ("sendmail", True, [SENDMAIL], Level.OK, "sendmail listens (pid 7)"),
        ("miltscan", True, [EXIM, MILTSCAN], Level.OK, "miltscan listens (pid 8)"),
        ("sendmail", True, [EXIM], Level.ERROR, "exim4 (pid 9) listens on it, not sendmail"),
        ("miltscan", True, [SENDMAIL], Level.ERROR, "sendmail (pid 7) listens on it, not miltscan"),
        ("sendmail", True, [], Level.WARNING, "the process that listens on it cannot be seen by this user"),
        ("sendmail", False, [], Level.ERROR, "no process listens on it"),
    ],
)
def test_listener_finding(wanted: str, found: list[RunningProgram], level: Level, text: str, *, there: bool) -> None:
    """The listener is the expected program, another one, an invisible one, or missing."""
    finding = listener_finding("a", wanted, there, found)
    assert (finding.level, finding.text) == (level, text)
