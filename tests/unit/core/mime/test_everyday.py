"""Ordinary mail, also where it is not by the standard, is read as what it is."""

from pathlib import Path

import pytest

from miltscan.core.mime.reader import read_message
from tests.fakes.everyday import MAILS
from tests.unit.core.mime.golden import BOUNDS, opinions


def test_what_is_odd_about_it() -> None:
    """Most of it is plain; the list shows what is not."""
    assert opinions(MAILS) == Path(__file__).with_name("everyday.txt").read_text()


@pytest.mark.parametrize("data", MAILS.values(), ids=MAILS)
def test_it_is_delivered(data: bytes) -> None:
    """None of it is malformed, nor beyond a bound, and line ends do not matter."""
    reading = read_message(data, BOUNDS)
    assert (reading.malformed, reading.limit, reading.encrypted) == (False, None, False)
    other = read_message(data.replace(b"\r\n", b"\n"), BOUNDS)
    assert (other.plain, other.anomalies) == (reading.plain, reading.anomalies)
