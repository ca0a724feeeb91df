"""What the three telnets showed: who listens, and whether it answers as the program that belongs there."""

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import closing

from miltscan.core.address import Address, UnixAddress
from miltscan.core.finding import Finding, error, ok, warning
from miltscan.doctor.programs import RunningProgram, listeners, listens, unix_listeners
from miltscan.sandwich.cf import Daemon
from miltscan.sandwich.submit import unverified

_PATIENCE = 15.0  # seconds for a greeting, which GreetPause and ident may delay, or for a reply
_NEGOTIATE = struct.pack("!IcIII", 13, b"O", 6, 0x1FF, 0x1FFFFF)  # SMFIC_OPTNEG: all that version 6 offers
_QUIT = struct.pack("!Ic", 1, b"Q")


def smtp_findings(subject: str, daemon: Daemon) -> Iterator[Finding]:
    """A port of one of the sendmails of this host: who listens there, and its greeting."""
    yield who_listens(subject, "sendmail", listens(daemon.port), listeners(daemon.port))
    yield greeting_finding(subject, daemon.host, daemon.port, tls=daemon.tls)


def milter_findings(address: Address) -> Iterator[Finding]:
    """The milter socket: who listens there, and whether it speaks the milter protocol."""
    subject = f"milter {address}"
    if isinstance(address, UnixAddress):
        found = unix_listeners(address.path)
        yield who_listens(subject, "miltscan", bool(found) or _connects(address), found)
    else:
        yield who_listens(subject, "miltscan", listens(address.port), listeners(address.port))
    yield negotiation_finding(subject, address)


def anybody(address: Address) -> bool:
    """Whether somebody listens at a socket of this host."""
    return _connects(address) if isinstance(address, UnixAddress) else listens(address.port)


def who_listens(subject: str, wanted: str, there: bool, found: Sequence[RunningProgram]) -> Finding:  # noqa: FBT001 - two facts
    """The program that has to be `wanted`; `there` says that somebody listens, seen or not."""
    right = [one for one in found if (one.is_sendmail if wanted == "sendmail" else one.is_miltscan)]
    if right:
        return ok(subject, f"{wanted} listens (pid {right[0].pid})")
    if found:
        return error(subject, f"{found[0]} listens there, not {wanted}", f"stop {found[0].program}, start {wanted}")
    if there:
        return warning(subject, "somebody listens whose process we may not see", "run as root")
    return error(subject, "nobody listens", f"start {wanted}, and see its log")


def greeting_finding(subject: str, host: str, port: int, *, tls: bool = False) -> Finding:
    """The first line of an SMTP server (RFC 5321 section 4.2: 220), behind TLS if it begins with that."""
    try:
        with _conversation(host, port, tls=tls) as connection:
            line = connection.recv(512).decode("ascii", "replace").splitlines()
            connection.sendall(b"QUIT\r\n")
    except OSError as problem:
        return error(subject, f"no greeting: {problem}", "start it; a full host name, or a free Listen queue may lack")
    if line and line[0].startswith("220"):
        return ok(subject, f"greets with {line[0]}")
    return error(subject, f"greets with {line[0] if line else 'nothing'}", "look into its log")


def _conversation(host: str, port: int, *, tls: bool) -> socket.socket:
    connection = socket.create_connection((host, port), _PATIENCE)
    return unverified().wrap_socket(connection) if tls else connection


def negotiation_finding(subject: str, address: Address, remedy: str = "systemctl restart miltscan") -> Finding:
    """The first step of the milter protocol: a filter answers an offer with what it takes of it.

    `remedy` is for a filter that does not answer, which a proxy shows by hanging up.
    """
    try:
        with closing(_connected(address)) as connection:
            connection.sendall(_NEGOTIATE)
            answer = connection.recv(512)
            connection.sendall(_QUIT)
    except OSError as problem:
        return error(subject, f"no answer: {problem}", remedy)
    if not answer:
        return error(subject, "no answer: it hangs up", remedy)
    if answer[4:5] == b"O":
        return ok(subject, "answers a milter's first step")
    return error(subject, "does not speak the milter protocol", "see which program has the socket")


def _connects(address: UnixAddress) -> bool:
    try:
        _connected(address).close()
    except OSError:
        return False
    return True


def _connected(address: Address) -> socket.socket:
    if not isinstance(address, UnixAddress):
        return socket.create_connection((address.host, address.port), _PATIENCE)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_PATIENCE)
    try:
        connection.connect(address.path)
    except OSError:
        connection.close()
        raise
    return connection
