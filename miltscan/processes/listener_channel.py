"""A channel on which the supervisor sends a listener to a running child, next to the link, which has no descriptors.

A packet arrives with its descriptor or not at all, and neither end ever blocks.
"""

import socket
from contextlib import suppress

ListenerChannel = tuple[socket.socket, socket.socket]
"""A pair of sockets for listeners: the supervisor's end and the child's, made before the fork and used again later."""


def listener_channel() -> ListenerChannel:
    """Return a channel whose ends never block."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.settimeout(0)
    return ends


def send_listener(end: socket.socket, listener: socket.socket) -> None:
    """Send a copy of the listener; a child that has hung for hundreds of them is replaced anyway."""
    with suppress(OSError):
        socket.send_fds(end, [b"\0"], [listener.fileno()])


def received_listener(end: socket.socket) -> socket.socket | None:
    """Return the newest listener on the channel; None if there is none."""
    newest = None
    with suppress(BlockingIOError):
        while descriptors := socket.recv_fds(end, 1, 1)[1]:
            if newest:
                newest.close()
            newest = socket.socket(fileno=descriptors[0])
            newest.set_inheritable(False)
    return newest
