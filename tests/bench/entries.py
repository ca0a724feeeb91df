"""A quarantine with many entries: how long lists, searches, counts, expiry and a new index take.

The entries are of 30 days, four areas, a thousand senders and a hundred domains of recipients. Filling it syncs nothing
to disk: that is not what is measured here.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from miltscan.quarantine.entry import State
from miltscan.quarantine.files import Files
from miltscan.quarantine.retention import Retention
from miltscan.quarantine.selection import Selection
from miltscan.quarantine.store import Store
from tests.bench import figures
from tests.fakes.entries import ENTRY, NOW

_DAY = 86400.0
_WORDS = ("invoice", "report", "meeting", "holiday", "contract", "server", "window", "garden", "train", "music")
_REPEATS = 15
_PUTS = 300
_BATCH = 500


class Spent(NamedTuple):
    """Elapsed seconds, and seconds of CPU time: other work on the machine changes the first more than the second."""

    elapsed: float
    cpu: float


def spent(call: Callable[[], object]) -> Spent:
    """Return what a call takes."""
    elapsed, cpu = time.perf_counter(), time.process_time()
    call()
    return Spent(time.perf_counter() - elapsed, time.process_time() - cpu)


def fill(files: Files, entries: int) -> None:
    """Store messages without syncing them."""
    files.prepare()
    with _without_sync():
        for number in range(entries):
            message = os.memfd_create("message")
            os.write(message, b"Subject: number %d\r\n\r\n" % number + b"A line of text.\r\n" * 60)
            files.put(_entry(number, entries), message)
            os.close(message)


def _entry(number: int, entries: int) -> ENTRY.__class__:  # type: ignore[name-defined]
    words = [_WORDS[number // 10**place % 10] for place in range(4)]
    return replace(
        ENTRY,
        time=NOW + 30 * _DAY * number / entries,
        area=("default", "virus", "macros", "spam")[number % 4],
        sender=b"<user%d@sender%d.example>" % (number % 1000, number % 97),
        recipients=(b"<user%d@domain%d.example>" % (number % 5000, number % 100), b"<copy@example.com>"),
        signature=f"Win.Test.Family{number % 50}-{number}",
        subject=f"{' '.join(words)} {number}",
    )


@contextmanager
def _without_sync() -> Iterator[None]:
    real = os.fsync
    os.fsync = lambda _: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


def rebuild(folder: Path, entries: int) -> Spent:
    """Return what a new index from the files takes; all entries may be in `new` before."""
    store = Store(folder)
    store.refresh()
    store.close()
    (folder / "index.sqlite").unlink()
    store = Store(folder)
    found = spent(store.rows)
    if store.count() != entries:
        raise RuntimeError(f"{store.count()} of {entries} entries are in the new index")
    store.close()
    return found


QUERIES: dict[str, tuple[str, Callable[[Store], object]]] = {
    "list: the newest 50": ("< 5", lambda store: store.rows(limit=50)),
    "list: 50 from the middle": ("", lambda store: store.rows(limit=50, after=_middle(store))),
    "list: 50 of an area": ("", lambda store: store.rows(Selection(area="macros"), 50)),
    "search: a word of the subject, often": ("< 100", lambda store: store.rows(Selection(text="garden"), 50)),
    "search: a word of the subject, never": ("< 100", lambda store: store.rows(Selection(text="nowhere"), 50)),
    "search: a recipient": ("", lambda store: store.rows(Selection(recipient="user77@domain77.example"), 50)),
    "search: a domain of recipients": ("", lambda store: store.rows(Selection(recipient="@domain77.example"), 50)),
    "search: a domain of senders": ("", lambda store: store.rows(Selection(sender="@sender7.example"), 50)),
    "search: a signature with *": ("", lambda store: store.rows(Selection(signature="*Family7-*"), 50)),
    "search: a state that none has": ("", lambda store: store.rows(Selection(state=State.RELEASED), 50)),
    "find: an ID by its prefix": ("", lambda store: store.find(_middle(store)[:17])),
    "counts: entries, bytes and oldest of each area": ("< 200", lambda store: store.totals()),
    "counts: entries of a domain of recipients": (
        "< 200",
        lambda store: store.count(Selection(recipient="@domain77.example")),
    ),
    "counts: a word of the subject": ("< 200", lambda store: store.count(Selection(text="garden"))),
}
"""Name, aim in milliseconds, and query."""
_middles: dict[Store, str] = {}


def _middle(store: Store) -> str:
    """An ID in the middle of all, looked up once."""
    if store not in _middles:
        _middles[store] = store.rows(Selection(older_than=NOW + 15 * _DAY), 1)[0].id
    return _middles[store]


def usual(store: Store, query: Callable[[Store], object]) -> Spent:
    """Return the medians of a query, after one that is not counted."""
    query(store)
    found = [spent(lambda: query(store)) for _ in range(_REPEATS)]
    return Spent(median(one.elapsed for one in found), median(one.cpu for one in found))


def expiry(folder: Path, entries: int) -> tuple[float, list[float], list[float]]:
    """Return entries a second that expiry deletes in batches, and the seconds of puts without and during it."""
    files = Files(folder)
    alone = [_put(files) for _ in range(_PUTS)]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(_delete, (folder, 1))  # its imports are not measured
        rate = pool.apply_async(_delete, (folder, entries))
        during = []
        while not rate.ready():
            during.append(_put(files))
        return rate.get(), alone, during


def _delete(folder: Path, entries: int) -> float:
    store = Store(folder, areas={"default": Retention(max_age=1)})
    began, deleted = time.monotonic(), 0
    while deleted < entries and (gone := store.expire(time.time(), min(_BATCH, entries - deleted))):
        deleted += len(gone)
    store.close()
    return deleted / (time.monotonic() - began)


def _put(files: Files) -> float:
    message = os.memfd_create("message")
    os.write(message, bytes(30_000))
    entry = replace(ENTRY, time=time.time() + _DAY)
    seconds = spent(lambda: files.put(entry, message)).elapsed
    os.close(message)
    return seconds


def high(seconds: list[float]) -> float:
    """The 99th percentile in milliseconds."""
    return figures.percentile(seconds, 0.99) * 1000
