"""Which program listens on each socket of the mail path, and whether it answers with the expected protocol."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import closing

from miltscan.core import faults
from miltscan.core.address import Address, UnixAddress
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.core.milter_packets import NEGOTIATE, OPTNEG, QUIT
from miltscan.doctor.programs import RunningProgram, listeners, listeners_at
from miltscan.doctor.topics import NO_MILTSCAN, NOT_ROOT, denied
from miltscan.processes.listening import listens
from miltscan.sandwich.cf import Daemon
from miltscan.sandwich.transfer import unverified_tls

_TIMEOUT = 15.0  # seconds for a greeting, which GreetPause and ident may delay, or for a reply


def smtp_findings(subject: str, daemon: Daemon, topic: str) -> Iterator[Finding]:
    """A port of one of this host's sendmails: the program that listens on it, and its greeting.

    `topic` is the fault that no sendmail listens there.
    """
    yield listener_finding(subject, "sendmail", listens(daemon.port), listeners(daemon.port)).named(topic)
    yield greeting_finding(subject, daemon.host, daemon.port, tls=daemon.tls).because(topic)


def milter_findings(address: Address) -> Iterator[Finding]:
    """The milter socket: the program that listens on it, and whether it speaks the milter protocol."""
    subject, found = f"milter {address}", listeners_at(address)
    yield listener_finding(subject, "miltscan", bool(found) or has_listener(address), found).named(NO_MILTSCAN)
    yield negotiation_finding(subject, address).because(NO_MILTSCAN)


def has_listener(address: Address) -> bool:
    """Whether a process listens on a socket of this host, visible to this user or not; True if it may not connect."""
    if not isinstance(address, UnixAddress):
        return listens(address.port)
    try:
        _connect(address).close()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def listener_finding(subject: str, expected: str, there: bool, found: Sequence[RunningProgram]) -> Finding:  # noqa: FBT001 - two facts
    """Whether one of the programs that listen is the `expected` one; `there` means that any listens, visible or not."""
    right = [one for one in found if (one.is_sendmail if expected == "sendmail" else one.is_miltscan)]
    if right:
        return ok(subject, f"{expected} listens (pid {right[0].pid})")
    if found:
        remedy = f"stop {found[0].program}, then run: {_start(subject, expected)}"
        return error(subject, f"{found[0]} listens on it, not {expected}", remedy)
    if there:
        text = "the process that listens on it cannot be seen by this user"
        return warning(subject, text, "run this command as root").because(NOT_ROOT)
    if expected == "sendmail":
        return error(subject, "no process listens on it", faults.start_sendmail(subject.partition(" ")[0]))
    return error(subject, "no process listens on it", f"run: {_start(subject, expected)}, and read its log")


def _start(subject: str, expected: str) -> str:
    """The command for this part; never one for the distribution's own sendmail, which would accept mail unscanned."""
    unit = f"miltscan-{subject.partition(' ')[0]}" if expected == "sendmail" else expected
    return f"systemctl start {unit}"


def greeting_finding(subject: str, host: str, port: int, *, tls: bool = False) -> Finding:
    """The first line of an SMTP server (RFC 5321 section 4.2: 220); `tls` means that the port begins with TLS."""
    try:
        connection = socket.create_connection((host, port), _TIMEOUT)
        with unverified_tls().wrap_socket(connection) if tls else connection as session:
            line = session.recv(512).decode("ascii", "replace").splitlines()
            session.sendall(b"QUIT\r\n")
    except OSError as problem:
        remedy = "start it; check that the host name has a dot and that Listen= is 511"
        return error(subject, f"no greeting: {problem.strerror or problem}", remedy)
    if line and line[0].startswith("220"):
        return ok(subject, f"greets with {line[0]}")
    return error(subject, f"greets with {line[0] if line else 'nothing'}", "read its log")


def negotiation_finding(subject: str, address: Address, remedy: str = "run: systemctl restart miltscan") -> Finding:
    """The first step of the milter protocol: a filter answers the MTA's offer with what it uses of it.

    `remedy` is for a filter that does not answer; a proxy without one closes the connection.
    """
    try:
        with closing(_connect(address)) as connection:
            connection.sendall(NEGOTIATE)
            answer = connection.recv(512)
            connection.sendall(QUIT)
    except OSError as problem:
        return error(subject, f"no answer: {problem.strerror or problem}", remedy).because(*denied(problem))
    if not answer:
        return error(subject, "no answer: it closes the connection", remedy)
    if answer[4:5] == OPTNEG:  # behind the four bytes of the length
        return ok(subject, "answers the first step of the milter protocol")
    return error(subject, "does not speak the milter protocol", "check which program listens on the socket")


def _connect(address: Address) -> socket.socket:
    if not isinstance(address, UnixAddress):
        return socket.create_connection((address.host, address.port), _TIMEOUT)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_TIMEOUT)
    try:
        connection.connect(address.path)
    except OSError:
        connection.close()
        raise
    return connection
