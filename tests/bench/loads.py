"""The loads of the benchmark: sizes, sessions, messages; pure."""

from collections.abc import Iterator
from itertools import product

from tests.bench.load import Load

SESSIONS = (1, 8, 64)
SIZES = {1_000: 256, 30_000: 128, 1_000_000: 16}  # bytes of a message: messages of a short round
# A day's mail, 75 KB in the mean: most of it small, some with attachments, two in twenty with large ones, not together.
MIXED = (
    *(3_000, 12_000, 3_000, 50_000, 3_000, 12_000, 3_000, 12_000, 1_000_000, 3_000),
    *(12_000, 3_000, 50_000, 3_000, 12_000, 250_000, 3_000, 12_000, 3_000, 50_000),
)


def many(scale: int = 1) -> Iterator[Load]:
    """Each size at each number of sessions, the messages shared out among them; `scale` times a short round."""
    for (size, messages), sessions in product(SIZES.items(), SESSIONS):
        yield _shared((size,), max(messages * scale, sessions), sessions)


def mixed(scale: int = 1) -> Iterator[Load]:
    """A day's mail at each number of sessions, at least two messages in each."""
    for sessions in SESSIONS:
        yield _shared(MIXED, 160 * scale, sessions, "mixed")


def single(scale: int = 1) -> Iterator[Load]:
    """A session for each message, as most clients do: each size, and a day's mail."""
    for (size, messages), sessions in product(SIZES.items(), SESSIONS):
        yield Load((size,), max(messages * scale, sessions), sessions, 1)
    for sessions in SESSIONS:
        yield Load(MIXED, 80 * scale, sessions, 1, "mixed")


def _shared(sizes: tuple[int, ...], messages: int, sessions: int, name: str = "") -> Load:
    return Load(sizes, messages, sessions, max(messages // sessions, 1), name)
