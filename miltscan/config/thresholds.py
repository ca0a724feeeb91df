"""`[thresholds]`: the numbers above which page, commands and alerts warn. Their defaults are in `core.thresholds`."""

from collections.abc import Mapping
from typing import Annotated

from miltscan.config import units
from miltscan.config.table import Table
from miltscan.core import thresholds


class ThresholdSettings(Table):
    """`[thresholds]`: above these values the status page, `status`, `check`, `doctor` and the alerts warn."""

    signature_age: Annotated[float, units.duration("1h", "365d")] = thresholds.SIGNATURE_AGE
    """Age of the signatures of an engine."""
    incoming_age: Annotated[float, units.duration("1m", "30d")] = thresholds.QUEUE_AGE["incoming"]
    """Age of the oldest message in the queue of the incoming sendmail, which waits only for the delivery sendmail."""
    delivery_age: Annotated[float, units.duration("1m", "30d")] = thresholds.QUEUE_AGE["delivery"]
    """Age of the oldest message in the queue of the delivery sendmail, which keeps mail for dead hosts five days."""
    incoming_messages: Annotated[int, units.count(1, 1_000_000)] = thresholds.QUEUE_MESSAGES["incoming"]
    """Messages in the queue of the incoming sendmail, if they have doubled; a shorter queue may grow."""
    delivery_messages: Annotated[int, units.count(1, 1_000_000)] = thresholds.QUEUE_MESSAGES["delivery"]
    """The same for the queue of the delivery sendmail."""
    latency: Annotated[float, units.duration("10ms", "4m")] = thresholds.LATENCY
    """Time that miltscan adds to one message in twenty, over five minutes."""
    unscanned_percent: Annotated[int, units.count(1, 100)] = thresholds.UNSCANNED_PERCENT
    """Messages of a hundred that are not scanned completely, over 15 minutes; encrypted ones do not count."""

    @property
    def queue_age(self) -> Mapping[str, float]:
        """The ages by queue, in seconds."""
        return {"incoming": self.incoming_age, "delivery": self.delivery_age}

    @property
    def queue_messages(self) -> Mapping[str, int]:
        """The numbers of messages by queue."""
        return {"incoming": self.incoming_messages, "delivery": self.delivery_messages}
