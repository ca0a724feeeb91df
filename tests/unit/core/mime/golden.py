"""How the reader's opinion of many messages is written in a text file beside the tests, one line each."""

import time
from collections.abc import Mapping
from pathlib import Path

from miltscan.core.mime.part import Bounds, Reading
from miltscan.core.mime.reader import read_message

BOUNDS = Bounds(clock=time.thread_time)
FOLDER = Path(__file__).parent


def opinion(reading: Reading) -> str:
    """`plain`, or `odd` with the anomalies, and whether that is malformed."""
    words = ["plain"] if reading.plain else ["odd", *sorted(reading.anomalies)]
    return " ".join([*words, *(["(malformed)"] if reading.malformed else [])])


def opinions(messages: Mapping[str, bytes]) -> str:
    """A line for each message."""
    return "".join(f"{name}: {opinion(read_message(data, BOUNDS))}\n" for name, data in messages.items())
