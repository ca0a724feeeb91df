"""What all unit tests share: how hypothesis works, and a local time zone that is UTC."""

import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import settings

# no clock, no file, no luck; the number of examples keeps the whole suite in seconds
settings.register_profile("miltscan", deadline=None, database=None, derandomize=True, max_examples=50)
# on another Python than the first one: there the code is the question, no longer the values
settings.register_profile("other-python", settings.get_profile("miltscan"), max_examples=10)
settings.load_profile(os.environ.get("MILTSCAN_EXAMPLES", "miltscan"))


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time zone is UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()
