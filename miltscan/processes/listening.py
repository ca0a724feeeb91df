"""Which TCP ports a process of this host listens on, from proc(5): readable by any user, and without a connection.

A connection would make a sendmail start a process and log a session that sends nothing.
"""

import sys
from ipaddress import ip_address
from pathlib import Path

_LISTEN = "0A"
_IPV4 = 4
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


def listening_hosts() -> dict[int, str]:
    """Return each TCP port on which a process of this host listens, with an address at which it can be reached."""
    rows = (line.split() for table in reversed(_TABLES) for line in _read(table).splitlines()[1:])
    pairs = (row[1].split(":") for row in rows if row[3] == _LISTEN)
    return {int(port, 16): _reachable(address) for address, port in pairs}  # IPv4 comes last and so counts


def _reachable(address: str) -> str:
    """Return an address of proc(5), whose words are in the byte order of the host; loopback for any address."""
    words = [int(address[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(address), 8)]
    host = ip_address(b"".join(words))
    if host.is_unspecified:
        return "127.0.0.1" if host.version == _IPV4 else "::1"
    return str(host)


def _read(table: Path) -> str:
    try:
        return table.read_text()
    except OSError:  # a host without IPv6 has no tcp6
        return ""
