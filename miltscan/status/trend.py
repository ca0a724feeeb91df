"""Whether a queue grows, as in the alert MiltscanQueueGrowing: twice its mean of the hours before, and rising. Pure.

It keeps one number a minute for each queue, for seven hours.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

_STEP = 60.0  # seconds between two samples
_LATELY = 3600.0  # seconds that do not count for the mean
_RISE = 1800.0  # seconds over which it must rise
_KEPT = 7 * 60  # samples


@dataclass(slots=True)
class QueueTrend:
    """The lengths of the queues in the last hours, oldest first: Unix time and messages by queue."""

    _samples: deque[tuple[float, Mapping[str, float]]] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def add(self, at: float, lengths: Mapping[str, float]) -> None:
        """Add the lengths at Unix time `at`, unless the last ones are less than a minute old."""
        if not self._samples or at - self._samples[-1][0] >= _STEP:
            self._samples.append((at, lengths))

    def grown_from(self, queue: str, length: float, at: float) -> float | None:
        """Return the mean that a growing queue had in the hours before; None for one that does not grow."""
        seen = [(at - then, lengths[queue]) for then, lengths in self._samples if queue in lengths]
        before = [count for age, count in seen if age >= _LATELY]
        since = [count for age, count in seen if age <= _RISE]
        mean = sum(before) / len(before) if before else None
        return mean if mean is not None and since and length > 2 * mean and length > since[0] else None
