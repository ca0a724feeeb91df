"""What the supervisor sees at the sockets for MTAs."""

import socket
from contextlib import suppress
from ipaddress import ip_network

from structlog import get_logger

from miltscan.config.settings import Settings
from miltscan.core.address import InetAddress
from miltscan.daemon.socket_watch import SocketWatch
from miltscan.daemon.sockets import MilterSocket
from miltscan.processes.admission import install_filter
from miltscan.processes.listener import bind
from miltscan.telemetry import service_metrics


def dropped() -> float:
    """What the metric says."""
    (family,) = service_metrics.PACKETS_DROPPED.child("verify.socket").collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


def test_packets_that_the_kernel_drops_are_counted_once() -> None:
    """From the start of the service on, whatever was dropped at the socket before."""
    with bind(InetAddress("127.0.0.1", 0), 0o660, None) as listener:
        assert install_filter(listener, [ip_network("127.0.0.7")]) == ""
        place = listener.getsockname()
        with suppress(TimeoutError), socket.create_connection(place, 0.1):
            pass
        one = MilterSocket("verify.socket", InetAddress(*place), listener)
        watch = SocketWatch([one], Settings().milter, get_logger(), lambda _: None, lambda: None)
        watch.begin()
        before = dropped()
        watch.look()
        assert dropped() == before
        with suppress(TimeoutError), socket.create_connection(place, 0.1):
            pass
        watch.look()
        counted = dropped()
        assert counted > before
        watch.look()
        assert dropped() == counted
