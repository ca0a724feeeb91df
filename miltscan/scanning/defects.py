"""What becomes of a message at which the reader of its structure fails by a defect of ours. It reads no message."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from miltscan.core.message import PREFACE, Message
from miltscan.core.report import Place
from miltscan.core.verdict import Fault, Verdict
from miltscan.scanning.files import bytes_of
from miltscan.telemetry import service_metrics
from miltscan.telemetry.log import logger

_TRIES = 3
"""Such a message is tempfailed so often; then the verdict on the whole message stands alone."""
_REMEMBERED = 1000  # such messages
_failures: OrderedDict[bytes, int] = OrderedDict()
"""Their digests, and how often the reader has failed at them in this process."""


@dataclass(slots=True)
class ReaderDefects:
    """The defects at one message; several in one attempt to deliver it count once."""

    message: Message
    _times: int = 0

    def verdict(self, engine: str, error: Exception) -> Verdict | None:
        """A tempfail for the first times: a corrected version may be there at the next try. Then None."""
        service_metrics.EXCEPTIONS.child(Place.MIME).inc()
        logger().error("exception", where=Place.MIME, exc_info=error)
        if not self._times:
            size = len(PREFACE) + self.message.size
            digest = hashlib.sha256(bytes_of(self.message.content, size)).digest()
            _failures[digest] = self._times = _failures.pop(digest, 0) + 1
            while len(_failures) > _REMEMBERED:
                _failures.popitem(last=False)
        if self._times > _TRIES:
            return None
        return Verdict.error(engine, Fault.EXCEPTION, "the structure of the message could not be read")
