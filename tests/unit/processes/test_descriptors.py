"""The limit on file descriptors, at which these tests run with a limit of their own."""

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from miltscan.processes.descriptors import Descriptors, raise_limit

LIMIT = 400  # above what a test process has open


@pytest.fixture
def limits() -> Iterator[tuple[int, int]]:
    """The limits before the test, which are restored."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def opened() -> Iterator[list[int]]:
    """Descriptors that are closed after the test."""
    numbers: list[int] = []
    yield numbers
    for number in numbers:
        os.close(number)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A non-blocking listener as the milter socket is."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(0)
        yield made


def closed(descriptors: Descriptors) -> None:
    """Close the spare."""
    assert descriptors._spare is not None  # noqa: SLF001 - it lives as long as the process
    os.close(descriptors._spare)  # noqa: SLF001


def test_the_limit_is_raised_to_what_the_host_allows(limits: tuple[int, int]) -> None:
    """The soft limit of a login shell is raised to the hard limit."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, limits[1]))
    raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(65536, limits[1]), limits[1])


def test_a_higher_limit_is_kept(limits: tuple[int, int]) -> None:
    """The limit is never lowered."""
    if limits[1] != resource.RLIM_INFINITY and limits[1] <= 65536:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (65537, limits[1]))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_descriptors_are_scarce_when_half_of_them_are_used(limits: tuple[int, int], opened: list[int]) -> None:
    """They are no longer scarce as soon as one of the first half is free."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, limits[1]))
    descriptors = Descriptors()
    assert not descriptors.scarce()
    while not descriptors.scarce():
        opened.append(os.open(os.devnull, os.O_RDONLY))
    assert LIMIT // 2 - 1 in opened
    assert max(opened) == LIMIT // 2 - 1
    os.close(opened.pop(0))
    assert not descriptors.scarce()
    closed(descriptors)


def test_connections_are_closed_without_a_free_descriptor(
    limits: tuple[int, int], opened: list[int], listener: socket.socket
) -> None:
    """The spare is enough for all of them, one after the other."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, limits[1]))
    descriptors = Descriptors()
    clients = [socket.create_connection(listener.getsockname()) for _ in range(3)]
    with suppress(OSError):
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    assert descriptors.scarce()
    assert [descriptors.turn_away(listener, 2), descriptors.turn_away(listener, 9)] == [2, 1]
    assert descriptors.turn_away(listener, 9) == 0
    os.close(descriptors._spare or -1)  # noqa: SLF001 - as if a scan had taken its place
    descriptors._spare = None  # noqa: SLF001
    opened.append(os.open(os.devnull, os.O_RDONLY))
    assert descriptors.turn_away(listener, 9) == 0
    os.close(opened.pop())
    assert descriptors.turn_away(listener, 9) == 0
    for client in clients:
        client.settimeout(60.0)
        assert client.recv(1) == b""
        client.close()
    closed(descriptors)
