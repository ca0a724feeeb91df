"""The index of the tests here."""

import pytest


@pytest.fixture
def url() -> str:
    """SQLite in the folder of the quarantine."""
    return ""
