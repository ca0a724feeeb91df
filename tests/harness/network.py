"""Several hosts on one machine: network namespaces on one switch, each with an address, loopback and ports of its own.

    with Network.of({"incoming": "192.0.2.1", "scanner": "192.0.2.11"}) as network:
        with network["scanner"].inside():
            program = programs.start(...)       # runs on that host, until its end
        with network["incoming"].inside():
            socket.create_connection(("192.0.2.11", 10025))

Needs root and ip(8). All links are inside the namespaces, so that this machine's own network shows nothing of it, and
all of them go with `end`. Each host has an IPv6 address as well. Files are shared: the hosts have one file system.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_FOLDER = Path("/run/netns")  # where ip(8) keeps them
_NETWORK_ONLY = 0x40000000  # CLONE_NEWNET of sched.h; os.setns is there from Python 3.12 on
_C = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """One host; `namespace` is its name for ip(8)."""

    namespace: str
    address: str

    @property
    def address6(self) -> str:
        """Its IPv6 address, with the last part of the IPv4 address."""
        return f"2001:db8::{self.address.rpartition('.')[2]}"

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens or starts in this context belongs to the host, for as long as it lives."""
        with inside_network(_FOLDER / self.namespace):
            yield

    def add_address(self, address: str) -> None:
        """Another address of this host, on its loopback device; one that it has already is no error."""
        bits = 128 if ":" in address else 32
        _ip("-n", self.namespace, "address", "replace", f"{address}/{bits}", "dev", "lo")

    def unplug(self) -> None:
        """Cut its cable: nothing reaches it, nothing comes from it, and no peer is notified."""
        _ip("-n", self.namespace, "link", "set", "eth0", "down")

    def plug(self) -> None:
        """Connect it again."""
        _ip("-n", self.namespace, "link", "set", "eth0", "up")


class Network(dict[str, Host]):
    """Hosts by name; see the module for its use."""

    def __init__(self, switch: str) -> None:
        super().__init__()
        self._switch = switch

    @classmethod
    def of(cls, addresses: Mapping[str, str]) -> Self:
        """Makes hosts with these IPv4 addresses, all in one network /24. Raises CalledProcessError."""
        network = cls(f"miltscan-{os.getpid()}")
        try:
            network._lay(addresses)
        except BaseException:
            network.end()
            raise
        return network

    def _lay(self, addresses: Mapping[str, str]) -> None:
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "up", "type", "bridge")
        for number, (name, address) in enumerate(addresses.items()):
            self[name] = self._plugged_in(f"port{number}", Host(f"{self._switch}-{name}", address))

    def _plugged_in(self, port: str, host: Host) -> Host:
        _ip("netns", "add", host.namespace)
        peer = ("type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _ip("-n", self._switch, "link", "add", port, "master", "switch", "up", *peer)
        _ip("-n", host.namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.namespace, "address", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        for device in ("lo", "eth0"):
            _ip("-n", host.namespace, "link", "set", device, "up")
        return host

    def end(self) -> None:
        """Removes every host; what still runs there loses its network."""
        for path in sorted(_FOLDER.glob(f"{self._switch}*")):
            _ip("netns", "delete", path.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@contextmanager
def inside_network(namespace: Path) -> Iterator[None]:
    """What this thread opens or starts in this context belongs to a network namespace, for as long as it lives."""
    with _this_namespace().open("rb") as here, namespace.open("rb") as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _this_namespace() -> Path:
    return Path(f"/proc/self/task/{threading.get_native_id()}/ns/net")


def _enter(descriptor: int) -> None:
    if _C.setns(descriptor, _NETWORK_ONLY) != 0:
        raise OSError(ctypes.get_errno(), "setns failed; it needs root")
