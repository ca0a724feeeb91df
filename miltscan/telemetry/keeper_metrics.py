"""The metrics of the quarantine and the archive. It sets none."""

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from miltscan.core.rescan import RescanResult
from miltscan.telemetry.family import DURATIONS, Family, Label, closed


class ReleaseResult(StrEnum):
    """How an attempt to release a message ended; `unreachable` also where the connection broke."""

    RELEASED = "released"
    TEMPFAILED = "tempfailed"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


_AREA = Label("area", "the areas of the quarantine, and those of former settings in which messages remain")

# The quarantine

QUARANTINE_PUT_SECONDS = Family(
    Histogram,
    "quarantine_put_duration_seconds",
    "seconds",
    "Time that it takes to store a message durably, in seconds.",
    buckets=DURATIONS,
)
QUARANTINE_PUT_ERRORS = Family(
    Counter,
    "quarantine_put_errors_total",
    "messages",
    "Messages that could not be stored, so that their clients received 451.",
)
QUARANTINE_ENTRIES = Family(Gauge, "quarantine_entries", "entries", "Messages in an area of the quarantine.", (_AREA,))
QUARANTINE_BYTES = Family(
    Gauge, "quarantine_bytes", "bytes", "Size of the messages in an area of the quarantine, in bytes.", (_AREA,)
)
QUARANTINE_OLDEST = Family(
    Gauge,
    "quarantine_oldest_timestamp_seconds",
    "seconds since 1970",
    "Arrival time of the oldest message in an area of the quarantine, in seconds since 1970.",
    (_AREA,),
)
QUARANTINE_CLEARED = Family(
    Gauge,
    "quarantine_cleared",
    "entries",
    "Messages in an area of the quarantine in which the last rescan found nothing.",
    (_AREA,),
)
QUARANTINE_UNINDEXED = Family(
    Gauge, "quarantine_unindexed", "entries", "Messages in the quarantine that are not in its index."
)
QUARANTINE_RELEASES = Family(
    Counter,
    "quarantine_releases_total",
    "releases",
    "Releases by the keeper, by result.",
    (closed("result", ReleaseResult),),
)
QUARANTINE_MAILS = Family(
    Counter,
    "quarantine_mails_total",
    "mails",
    "Notices, summaries and notices of late detections, by result.",
    (closed("kind", ("notice", "summary", "late")), closed("result", ("sent", "refused", "doubtful", "dropped"))),
)
QUARANTINE_RESCANS = Family(
    Counter,
    "quarantine_rescans_total",
    "scans",
    "Rescans of stored messages by the keeper, by result.",
    (closed("result", RescanResult),),
)
QUARANTINE_EXPIRED = Family(
    Counter, "quarantine_expired_total", "entries", "Messages that the keeper deleted by the rules of their area."
)
QUARANTINE_DISK_BYTES = Family(
    Gauge, "quarantine_disk_bytes", "bytes", "Size of the file system of quarantine.directory, in bytes."
)
QUARANTINE_FREE_BYTES = Family(
    Gauge, "quarantine_free_bytes", "bytes", "Free disk space at quarantine.directory, in bytes."
)
KEEPER_CONFIGURED = Family(
    Gauge, "keeper_configured", "1 or 0", "Existence of a keeper of the quarantine: 1 if the service has one, else 0."
)
KEEPER_LAST_ROUND = Family(
    Gauge,
    "keeper_last_round_timestamp_seconds",
    "seconds since 1970",
    "Time when the keeper last completed a round, in seconds since 1970.",
)

# The archive

ARCHIVED = Family(
    Counter,
    "archived_messages_total",
    "messages",
    "Messages whose digests were to be archived, by result: kept, dropped on the way to the keeper, or not written.",
    (closed("result", ("kept", "dropped", "failed")),),
)
ARCHIVE_SEARCHES = Family(
    Counter,
    "archive_searches_total",
    "digests",
    "Detected digests that were looked up in the archive, by result: delivered before, unknown, or no room to note it.",
    (closed("result", ("delivered", "unknown", "skipped")),),
)
ARCHIVE_BYTES = Family(Gauge, "archive_bytes", "bytes", "Size of the archive of digests, in bytes.")
