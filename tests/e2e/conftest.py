"""Fixtures of the end-to-end tests: one running sandwich for many tests."""

from collections.abc import Iterator

import pytest

from tests.harness.sandwich import Sandwich, private_folder


@pytest.fixture(scope="session")
def plain_sandwich() -> Iterator[Sandwich]:
    """A running sandwich without a milter."""
    with private_folder() as folder, Sandwich(folder) as sandwich:
        yield sandwich
