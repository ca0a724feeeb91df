"""Checks from the worker's main thread that libmilter and its callbacks make progress.

The supervisor checks the main thread itself (`processes/supervisor.py`).
"""

from miltscan.milter.callbacks import Milter
from miltscan.milter.threads import Pool
from miltscan.processes.attention import Attention

SILENCE = 30.0
"""Seconds without a sign of life after which a callback is stuck. A scan gives one each second until its end."""
_QUESTION = 1.0  # seconds between two questions to libmilter
_STEP = 1.0  # seconds that one look counts at most: the main thread looks four times a second


class LibmilterWatch:
    """Call `stuck` in every turn of the main thread."""

    def __init__(self, milter: Milter, pool: Pool) -> None:
        self._milter = milter
        self._pool = pool
        self._attention = Attention(_STEP)
        self._asked = self._answered = 0.0

    def stuck(self, moment: float) -> str | None:
        """Why this worker must be replaced, at `moment` (time.monotonic seconds); None if it works."""
        milter = self._milter
        milter.clock = now = self._attention.look(moment)
        if now - self._asked >= _QUESTION:
            self._asked = now
            if self._pool.answers():
                self._answered = now
        if (queue_id := milter.silent(SILENCE)) is not None:
            return f"the message {queue_id or 'without a queue ID'} has made no progress for {SILENCE:g} s"
        if now - max(self._answered, milter.alive) > SILENCE:
            return f"libmilter has not answered for {SILENCE:g} s"
        return None
