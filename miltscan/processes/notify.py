"""Reports the state of the service to the service manager: sd_notify(3), one datagram to the socket in $NOTIFY_SOCKET.

Without that variable nothing is sent. A manager that does not read neither ends nor delays the service: a datagram that
cannot be sent within a second is dropped. It is not for the log.
"""

import os
import socket
import time
from contextlib import suppress

from miltscan.core.text import readable

_TIMEOUT = 1.0  # seconds


def wanted() -> bool:
    """Return whether a service manager is to be notified."""
    return _name().startswith(("/", "@"))  # not if unset, nor for a vsock address, which only virtual machines use


def ready(status: str) -> None:
    """Report that the start or a reload is over; `status` is the line that `systemctl status` shows."""
    _send("READY=1", f"STATUS={readable(status)}")


def reloading() -> None:
    """Report that a reload begins; `ready` must follow. Type=notify-reload requires the time."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def update_status(line: str) -> None:
    """Report a new line for `systemctl status`."""
    _send(f"STATUS={line}")


def stopping(status: str) -> None:
    """Report that the drain begins."""
    _send("STOPPING=1", f"STATUS={status}")


def _send(*fields: str) -> None:
    if not wanted():
        return
    name = _name()
    address = name.replace("@", "\0", 1) if name.startswith("@") else name
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(_TIMEOUT)
        manager.sendto("\n".join(fields).encode(), address)


def _name() -> str:
    return os.environ.get("NOTIFY_SOCKET", "")
