"""Which TCP ports a process of this host listens on, from proc(5): readable by any user, and without a connection.

A connection would make a sendmail start a process and log a session that sends nothing.
"""

from pathlib import Path

_LISTEN = "0A"
_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))


def tcp_inodes(table: str, port: int) -> set[int]:
    """The sockets in the table /proc/net/tcp or tcp6 that listen on `port`."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {int(row[9]) for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}


def port_inodes(port: int) -> set[int]:
    """The sockets of this host that listen on this TCP port, at any address."""
    return {inode for table in _TABLES for inode in tcp_inodes(_read(table), port)}


def listens(port: int) -> bool:
    """Whether any process listens on this TCP port, visible to this user or not."""
    return bool(port_inodes(port))


def listening_ports() -> set[int]:
    """All TCP ports on which a process of this host listens."""
    rows = (line.split() for table in _TABLES for line in _read(table).splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTEN}


def _read(table: Path) -> str:
    try:
        return table.read_text()
    except OSError:  # a host without IPv6 has no tcp6
        return ""
