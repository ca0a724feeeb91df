"""Exemplars: for each bucket of a histogram and for some counters, the queue ID of the last message counted.

They lead from a slow bucket of a graph to the log line of a message. prometheus_client drops them where several
processes count. Therefore each process keeps its own in memory and writes them to a small file next to its counters, at
most once a second; the exporter uses the newest of each. A queue ID comes from the MTA and may be any text: one that is
not alphanumeric ASCII is left out.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import orjson

_PAUSE = 1.0  # seconds between two writes
_LONGEST = 64  # characters of a queue ID; OpenMetrics allows 128 for the labels of an exemplar, names included
PATTERN = "exemplars_*.json"


class Exemplar(NamedTuple):
    """One message that was counted: its queue ID, the value, and the time (seconds since the epoch)."""

    queue_id: str
    value: float
    time: float


class Exemplars:
    """The exemplars of this process, by `series`; without `attach` they stay in memory."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._kept: dict[str, tuple[str, float, float]] = {}
        self._changed = False
        self._written = 0.0

    def attach(self, directory: Path, slot: str) -> None:
        """Write to `directory` as `slot` from now on."""
        self._file = directory / PATTERN.replace("*", slot)
        self._kept, self._changed, self._written = {}, False, 0.0

    def keep(self, series: str, queue_id: str, value: float, now: float) -> None:
        """Keep this message as the last one that was counted in the series."""
        if queue_id.isalnum() and queue_id.isascii() and len(queue_id) <= _LONGEST:
            self._kept[series] = queue_id, value, now
            self._changed = True

    def write(self) -> None:
        """Write the file, if there are new exemplars and the last write is a second ago; a full disk has none."""
        now = time.monotonic()
        if self._file is None or not self._changed or now - self._written < _PAUSE:
            return
        self._written, self._changed = now, False
        new = self._file.with_suffix(".new")
        with suppress(OSError):
            new.write_bytes(orjson.dumps(self._kept))
            new.rename(self._file)


@lru_cache(maxsize=4096)  # each message uses the same few labels
def series(sample: str, names: tuple[str, ...], values: tuple[str, ...]) -> str:
    """Return a sample's name and labels as one text that does not depend on the order of the labels."""
    return "\0".join((sample, *(value for _, value in sorted(zip(names, values, strict=True)))))


def read_exemplars(directory: Path) -> Mapping[str, Exemplar]:
    """Return the newest exemplar of each series in all processes; a file that cannot be read has none."""
    newest: dict[str, Exemplar] = {}
    for file in directory.glob(PATTERN):
        for place, exemplar in _kept(file).items():
            if place not in newest or newest[place].time < exemplar[2]:
                newest[place] = Exemplar(*exemplar)
    return newest


def _kept(file: Path) -> Mapping[str, tuple[str, float, float]]:
    try:
        kept: dict[str, tuple[str, float, float]] = orjson.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return kept


EXEMPLARS = Exemplars()
"""The exemplars of this process."""
