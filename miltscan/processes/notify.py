"""Tells the service manager how the service is: sd_notify(3), one datagram to the socket in $NOTIFY_SOCKET.

Without that variable nobody wants to know, and nothing is sent. A manager that does not listen is no reason to end or
to hold up the service: what cannot be sent within a second is dropped. Not for the log, which others read.
"""

import os
import socket
import time
from contextlib import suppress

_PATIENCE = 1.0  # seconds


def ready(status: str) -> None:
    """The start, or a reload, is over; `status` is the line that `systemctl status` shows."""
    _send("READY=1", f"STATUS={status}")


def reloading() -> None:
    """The configuration is read again; `ready` has to follow. The time is there for Type=notify-reload."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping(status: str) -> None:
    """The drain begins."""
    _send("STOPPING=1", f"STATUS={status}")


def _send(*fields: str) -> None:
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name.startswith(("/", "@")):  # none, or of a kind that only virtual machines use
        return
    address = name.replace("@", "\0", 1) if name.startswith("@") else name
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(_PATIENCE)
        manager.sendto("\n".join(fields).encode(), address)
