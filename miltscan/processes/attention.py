"""A clock that counts only while its owner looks: for how long something has been silent, as seen by the owner.

Where the owner itself stood still (a suspended machine, a stopped process, a debugger), silence proves nothing: what it
watches stood still as well, or had no chance to be seen. One look adds no more than the pause between two looks should
be, so that after such a stop each one has nearly the whole time again for a sign of life.
"""


class Attention:
    """The clock of one owner, whose looks are at most `step` seconds apart while it works."""

    def __init__(self, step: float) -> None:
        self._step = step
        self._looked: float | None = None
        self.now = 0.0

    def look(self, moment: float) -> float:
        """Look at `moment` (time.monotonic seconds); returns the time in seconds of attention since the first look."""
        if self._looked is not None:
            self.now += min(moment - self._looked, self._step)
        self._looked = moment
        return self.now
