"""The loads of the benchmark: sizes, sessions, messages; pure."""

from collections.abc import Iterator
from itertools import product

from tests.bench.load import Load

SESSIONS = (1, 8, 64)
SIGNATURES = 10_000
"""How many generated signatures clamd has next to the test signature."""
SIZES = {1_000: 256, 30_000: 128, 1_000_000: 16}  # bytes of a message: number of messages in a short round
# A day's mail with a mean of 75 KB: mostly small, some with attachments, and two of twenty with large ones, kept apart.
MIXED = (
    *(3_000, 12_000, 3_000, 50_000, 3_000, 12_000, 3_000, 12_000, 1_000_000, 3_000),
    *(12_000, 3_000, 50_000, 3_000, 12_000, 250_000, 3_000, 12_000, 3_000, 50_000),
)


def many(scale: int = 1) -> Iterator[Load]:
    """Yield each size at each number of sessions, which share the messages; `scale` times a short round."""
    for (size, messages), sessions in product(SIZES.items(), SESSIONS):
        yield _shared((size,), max(messages * scale, sessions), sessions)


def mixed(scale: int = 1) -> Iterator[Load]:
    """Yield a day's mail at each number of sessions, with at least two messages in each."""
    for sessions in SESSIONS:
        yield _shared(MIXED, 160 * scale, sessions, "mixed")


def single(scale: int = 1) -> Iterator[Load]:
    """Yield each size, and a day's mail, with one message in each session, as most clients send."""
    for (size, messages), sessions in product(SIZES.items(), SESSIONS):
        yield Load((size,), max(messages * scale, sessions), sessions, 1)
    for sessions in SESSIONS:
        yield Load(MIXED, 80 * scale, sessions, 1, "mixed")


def _shared(sizes: tuple[int, ...], messages: int, sessions: int, name: str = "") -> Load:
    return Load(sizes, messages, sessions, max(messages // sessions, 1), name)
