"""What every test run shares: enough file descriptors for tests that open many connections."""

import os
import resource
from collections.abc import Iterator

import pytest

SERVICE_LIMIT = 65536
"""LimitNOFILE of deploy/systemd/miltscan.service; no more, as some programs close every number up to it at start."""

LONGEST_NAME = 60
"""Bytes of a parameter in the name of a test."""


def pytest_configure() -> None:
    """Raise the soft limit, which a login sets to 1024, to the hard one; programs that a test starts inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = SERVICE_LIMIT if hard == resource.RLIM_INFINITY else min(hard, SERVICE_LIMIT)
    if soft != resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are not a short text are named after their argument.

    A compressed file contains the time, and all processes of a run must have the same names.
    """
    if isinstance(val, bytes) and not (len(val) <= LONGEST_NAME and val.isascii() and val.decode().isprintable()):
        return argname
    return None


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    """A command that gives up its rights sets the umask of its process, which here is that of the tests."""
    before = os.umask(0o077)
    os.umask(before)
    yield
    os.umask(before)
