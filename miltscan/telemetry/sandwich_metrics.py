"""The metrics of both sendmails and their queues, and of the probe. It sets none."""

from enum import StrEnum

from prometheus_client import Gauge

from miltscan.core.probe import ProbeKind, Stage
from miltscan.telemetry.family import Family, closed


class QueueName(StrEnum):
    """The queues of the two sendmails."""

    INCOMING = "incoming"
    DELIVERY = "delivery"


_QUEUE = closed("queue", QueueName)
_MESSAGE = closed("message", ProbeKind)

# The queues of the sandwich

QUEUE_ENTRIES = Family(Gauge, "queue_entries", "messages", "Messages in a sendmail queue.", (_QUEUE,))
QUEUE_BYTES = Family(Gauge, "queue_bytes", "bytes", "Disk space used by a sendmail queue, in bytes.", (_QUEUE,))
QUEUE_OLDEST = Family(
    Gauge,
    "queue_oldest_timestamp_seconds",
    "seconds since 1970",
    "Arrival time of the oldest message in a sendmail queue, in seconds since 1970.",
    (_QUEUE,),
)
QUEUE_READABLE = Family(
    Gauge, "queue_readable", "1 or 0", "Readability of a sendmail queue: 1 if it could be read, else 0.", (_QUEUE,)
)
SENDMAIL_LISTENING = Family(
    Gauge,
    "sendmail_listening",
    "1 or 0",
    "State of the port of a sendmail: 1 if a process listens on it, else 0.",
    (_QUEUE,),
)
SENDMAIL_UP = Family(
    Gauge,
    "sendmail_up",
    "1 or 0",
    "State of a sendmail: 1 if it greets the exporter, else 0.",
    (_QUEUE,),
)

# The probe

PROBE_SUCCESS = Family(
    Gauge, "probe_success", "1 or 0", "Result of the last probe: 1 for success, 0 for failure.", (_MESSAGE,)
)
PROBE_SECONDS = Family(
    Gauge,
    "probe_duration_seconds",
    "seconds",
    "Duration of a stage of the last probe, in seconds.",
    (_MESSAGE, closed("stage", Stage)),
)
PROBE_LAST_RUN = Family(
    Gauge,
    "probe_last_run_timestamp_seconds",
    "seconds since 1970",
    "Time when the last probe ended, in seconds since 1970.",
    (_MESSAGE,),
)
