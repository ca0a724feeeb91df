"""Fixtures of the end-to-end tests: running sandwiches for many tests."""

from collections.abc import Iterator

import pytest

from tests.harness.clamav import Clamd
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import Programs
from tests.harness.sandwich import Sandwich, private_folder


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    """A running clamd."""
    with private_folder() as folder, Programs(folder) as programs:
        clamd = Clamd.prepare(programs)
        clamd.start()
        clamd.wait_ready()
        yield clamd


@pytest.fixture(scope="session")
def plain_sandwich() -> Iterator[Sandwich]:
    """A running sandwich without a milter."""
    with private_folder() as folder, Sandwich(folder) as sandwich:
        yield sandwich


@pytest.fixture(scope="session")
def sandwich() -> Iterator[ScanningSandwich]:
    """A running sandwich with clamd and miltscan as configured by default, in which no test stops anything."""
    with private_folder() as folder, ScanningSandwich(folder) as sandwich:
        yield sandwich
