"""By which names a request may reach the exporter: a page of another site must not read it through a user's browser.

Such a page can let its own name point to this host (DNS rebinding); the browser then sends that name as `Host`. So a
name passes only if the owner of this host chose it. No name is looked up, because a dead resolver must not stop a
scrape, and because the attacker's name leads to this host as well.
"""

import ipaddress
import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

_HOSTS = Path("/etc/hosts")
_RESOLVER = Path("/etc/resolv.conf")


def own_names() -> Iterator[str]:
    """The names of this host, in lower case: its own one, that with each search domain, and those in /etc/hosts."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    yield from ("localhost", name, short)
    for words in _lines(_RESOLVER):
        if words[0] in {"search", "domain"}:
            yield from (f"{short}.{domain}" for domain in words[1:])
    for words in _lines(_HOSTS):
        yield from words[1:]


def _lines(file: Path) -> Iterator[list[str]]:
    """The words of each line; no line of a file that cannot be read."""
    with suppress(OSError):
        for line in file.read_text("latin-1").lower().splitlines():
            if words := line.partition("#")[0].split():
                yield words


def is_known(host: str, names: Collection[str]) -> bool:
    """Whether a request with this `Host` (RFC 9110 section 7.2) is meant for us: an address, or one of the names.

    A missing `Host` passes, because each browser sends one.
    """
    name = host.strip().lower()
    if not name:
        return True
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") <= 1:
        name = name.partition(":")[0]
    name = name.removesuffix(".")
    return name in names or _is_address(name)


def _is_address(text: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(text)
        return True
    return False
