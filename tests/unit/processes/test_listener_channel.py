"""The channel for listeners between the supervisor and a child."""

import socket
from pathlib import Path

from miltscan.processes.listener_channel import listener_channel, received_listener, send_listener


def test_the_newest_listener_arrives() -> None:
    """A child that was busy uses the last one, and keeps no descriptor of the others."""
    ours, theirs = listener_channel()
    with ours, theirs:
        assert received_listener(theirs) is None
        before = len([*Path("/proc/self/fd").iterdir()])
        ports = []
        for _ in range(3):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                ports.append(listener.getsockname()[1])
                send_listener(ours, listener)
        received = received_listener(theirs)
        assert received
        with received:
            assert received.getsockname()[1] == ports[-1]
            assert not received.get_inheritable()
            assert len([*Path("/proc/self/fd").iterdir()]) == before + 1


def test_a_child_that_reads_nothing_holds_nobody_up() -> None:
    """What does not fit is dropped, and a child that is gone is no error."""
    ours, theirs = listener_channel()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(1000):
            send_listener(ours, listener)
        theirs.close()
        send_listener(ours, listener)


def test_a_supervisor_that_is_gone_sends_nothing() -> None:
    """The end of the channel is not a listener."""
    ours, theirs = listener_channel()
    ours.close()
    with theirs:
        assert received_listener(theirs) is None
