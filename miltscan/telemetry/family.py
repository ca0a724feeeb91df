"""The type of a metric: its definition with unit, labels and their bounds, and where a process counts. It defines none.

Several processes count at the same time (prometheus_client's multiprocess mode). Each writes files (`countfile`) in one
directory, named after its slot, and the exporter adds them up at a scrape. A slot is the name of a place in the service
(`supervisor`, `0`, `1` ...), not a pid: a respawned worker continues its predecessor's files, so counters never fall
and files do not accumulate. Two live processes must never share a slot.

prometheus_client requires the directory in the environment at import. Here a metric is made when it is first used, and
made again by `attach`, so this module can be imported before a fork. Without `attach` it counts in memory (unit tests).
"""

import math
import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.utils import floatToGoString

from miltscan.telemetry.countfile import CountFile, begin_files, begin_writing, empty, keep_all
from miltscan.telemetry.exemplars import EXEMPLARS, series

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client's multiprocess values look for it

Kind = TypeVar("Kind", Counter, Gauge, Histogram)


DURATIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
"""Buckets of durations, in seconds."""
Measured = tuple[float, str]
"""A value and the queue ID of its message."""


class Label(NamedTuple):
    """A label: the bound of its values, and the values that are known from the start."""

    name: str
    bound: str
    values: tuple[str, ...] = ()


def closed(name: str, values: Iterable[str]) -> Label:
    """Return a label that has no values but these."""
    known = tuple(map(str, values))
    return Label(name, f"one of {', '.join(known)}", known)


class Family(Generic[Kind]):
    """One metric: its definition, and the children (one for each set of label values) that this process uses.

    `help_text` is a noun phrase with the unit, as Prometheus asks for. The values of a counter's only label exist from
    the start with 0: a series that appears with its first event shows no increase, and an alert on it stays silent. Of
    a counter with several labels, those in `known` do. Of a gauge that several processes set, the latest value counts
    unless `multiprocess_mode` differs. `labels` are names, `bounds` the same labels with their bounds.
    """

    def __init__(
        self,
        kind: type[Kind],
        name: str,
        unit: str,
        help_text: str,
        labels: tuple[Label, ...] = (),
        **options: Any,  # noqa: ANN401 - known; passed on: buckets, multiprocess_mode
    ) -> None:
        self.kind: type[Kind] = kind
        self.name = f"miltscan_{name}"
        self.unit = unit
        self.help_text = help_text
        self.bounds = labels
        self.labels = tuple(label.name for label in labels)
        self._known: tuple[tuple[str, ...], ...] = tuple(options.pop("known", ()))
        self.file_type = kind.__name__.lower()
        if kind is Gauge:
            options = {"multiprocess_mode": "livemostrecent", **options}
            self.file_type += f"_{options['multiprocess_mode']}"
        self._options = options
        self.reset()
        DEFINED.append(self)

    def reset(self) -> None:
        """Forget every child, so that the process counts where it is attached from now on."""
        self._children: dict[tuple[str, ...], Kind] = {}
        self._parent: Kind | None = None

    def child(self, *labels: str) -> Kind:
        """Return the child for these label values, from a cache, as prometheus_client's own lookup is slow."""
        try:
            return self._children[labels]
        except KeyError:
            return self._children.setdefault(labels, self.parent.labels(*labels) if labels else self.parent)

    def forget(self, *labels: str) -> None:
        """End the series of a gauge: its file keeps it for ever, so NaN marks it as ended."""
        child = self._children.get(labels)
        if isinstance(child, Gauge):
            child.set(math.nan)

    def forget_all(self, *first: str) -> None:
        """Forget each series whose first labels have these values."""
        for labels in [*self._children]:  # a copy made in one step, as other threads add children meanwhile
            if labels[: len(first)] == first:
                self.forget(*labels)

    @property
    def used(self) -> int:
        """The number of sets of label values that this process has used."""
        return len(self._children)

    def knows(self, *labels: str) -> bool:
        """Return whether this process has used these label values."""
        return labels in self._children

    @property
    def parent(self) -> Kind:
        """The metric of prometheus_client in this process."""
        if self._parent is None:
            self._parent = self.kind(self.name, self.help_text, self.labels, registry=None, **self._options)
        return self._parent

    def begin(self) -> None:
        """Make the series that are known from the start."""
        if not self.bounds:
            self.child()
        elif len(self.bounds) == 1 and self.kind is Counter:
            for value in self.bounds[0].values:
                self.child(value)
        for values_of_labels in self._known:
            self.child(*values_of_labels)


def observe(family: Family[Histogram], labels: tuple[str, ...], measured: Sequence[Measured], now: float) -> None:
    """Observe many values at once: each bucket is written once, at a quarter of the cost of `Histogram.observe`.

    The last queue ID of each bucket is its exemplar. `_sum` and `_buckets` are private to prometheus_client, which has
    no call for several values. In multiprocess mode buckets are not cumulative.
    """
    child = family.child(*labels)
    bounds = child._upper_bounds  # noqa: SLF001
    counts: dict[int, int] = {}
    latest: dict[int, Measured] = {}
    for one in measured:
        bucket = bisect_left(bounds, one[0])
        counts[bucket] = counts.get(bucket, 0) + 1
        latest[bucket] = one
    child._sum.inc(sum(value for value, _ in measured))  # noqa: SLF001
    for bucket, count in counts.items():
        child._buckets[bucket].inc(count)  # noqa: SLF001
        value, queue_id = latest[bucket]
        place = series(f"{family.name}_bucket", (*family.labels, "le"), (*labels, floatToGoString(bounds[bucket])))  # type: ignore[no-untyped-call]
        EXEMPLARS.keep(place, queue_id, value, now)


def mark(family: Family[Counter], labels: tuple[str, ...], queue_id: str, now: float) -> None:
    """Make the message the exemplar of this counter."""
    EXEMPLARS.keep(series(family.name, family.labels, labels), queue_id, 1.0, now)


DEFINED: list[Family[Any]] = []


def attach(directory: Path, slot: str, *, parent: int | None = None, later: bool = False) -> None:
    """Count in `directory` as `slot` from now on. Call it in each process after the fork, before any thread starts.

    `parent` is the process with which this one loses its slot. With `later`, counts reach the file only by `keep_all`,
    so that no thread which counts waits for a disk. A folder that cannot be used is no error: see `countfile`.
    """
    os.environ[_DIRECTORY] = str(directory)
    worker_gone(slot)  # gauges of a predecessor whose end was not noticed
    begin_files(parent)
    values.ValueClass = values.MultiProcessValue(slot.__str__)  # type: ignore[no-untyped-call]
    for family in DEFINED:
        family.reset()
        family.begin()
    keep_all()
    begin_writing(later=later)
    EXEMPLARS.attach(directory, slot)


def worker_gone(slot: str) -> None:
    """Forget the live gauges of a process that has ended; its counters stay."""
    if directory := os.environ.get(_DIRECTORY):
        for file in Path(directory).glob(f"gauge_live*_{slot}.db"):
            with suppress(OSError):  # the next process of this slot does it, too
                empty(file)


values.MmapedDict = CountFile  # type: ignore[attr-defined,assignment]  # it is private; the version is pinned
