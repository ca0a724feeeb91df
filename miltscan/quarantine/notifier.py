"""The mails about the quarantine: notices and summaries. The keeper calls it."""

from collections.abc import Callable

from miltscan.core.keys import Key
from miltscan.quarantine.notices import Notices
from miltscan.quarantine.post import Mailed, Mails, Post
from miltscan.quarantine.store import Store
from miltscan.quarantine.summaries import Summaries

_AT_ONCE = 50  # mails
_STEP = 60.0  # seconds by which a clock may be set back, as time servers do


class Notifier:
    """Sends what is due. A reload makes a new one: all that it knows follows from the files.

    There must be one at most for a quarantine. `key` and `broken` are as in `Post`.
    """

    def __init__(
        self,
        store: Store,
        mails: Mails,
        now: float,
        *,
        key: Key | None = None,
        broken: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store, self._mails, self._key, self._broken = store, mails, key, broken
        self._begin(now)

    def _begin(self, now: float) -> None:
        """Know what the files say, and nothing else."""
        post = Post(self._mails, self._key, self._broken)
        self._notices = Notices(self._store, self._mails, post, now)
        self._summaries = Summaries(self._store, self._mails, post)
        self._last = now

    def work(self, now: float, limit: int = _AT_ONCE) -> list[Mailed]:
        """Send mails that are due at `now` (epoch, seconds), about `limit` at most: then call it again.

        The entries that wait for the index must have been put into it before. Raises StoreError.
        """
        if now < self._last - _STEP:  # the clock was ahead: pauses and windows of that time would last until then
            self._begin(now)
        self._last = now
        done = self._notices.work(now, limit)
        return done + self._summaries.work(now, limit - len(done))
