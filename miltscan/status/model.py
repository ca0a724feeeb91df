"""The response of `/api/status` as types; docs/status.md explains each field. Nothing is computed here.

Times are Unix time, latencies are in seconds, sizes in bytes, rates in messages per second. None (`null`) means that
the value is unknown or that there is nothing to measure.
"""

from dataclasses import dataclass

from miltscan.core.finding import Level
from miltscan.status.events import Detection, ErrorEvent

Count = float | None


@dataclass(frozen=True, slots=True)
class ShownFinding:
    """A finding without what only `Diagnosis` needs; `since` (Unix time) is when the page noticed it."""

    level: Level
    subject: str
    text: str
    remedy: str
    since: Count = None


@dataclass(frozen=True, slots=True)
class Assessment:
    """Whether the service can scan, in one sentence, and what an administrator has to repair, in this order.

    `details` are the findings as lines without their remedies. `since` is when level and sentence last changed.
    """

    level: Level
    text: str
    details: list[str]
    findings: list[ShownFinding]
    since: Count = None


@dataclass(frozen=True, slots=True)
class DayChange:
    """When the assessment changed (Unix time), and to which level and sentence."""

    at: float
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Now:
    """The present: rates over the last minute, quantiles of the time added to a message over the last five minutes.

    `recent` are the messages of the last quarter of an hour by outcome, `encrypted` those that nobody can scan.
    """

    rate: float | None
    rates: dict[str, float]
    recent: dict[str, float]
    encrypted: float
    p50: float | None
    p95: float | None
    p99: float | None
    sessions: Count
    in_flight: Count


@dataclass(frozen=True, slots=True)
class Totals:
    """The counters of /metrics, summed over all labels but one.

    `rules` matched and decided, `observed` are rules that are not enforced. `spam` is what anti-spam engines proposed.
    """

    messages: float
    outcomes: dict[str, float]
    directions: dict[str, float]
    actions: dict[str, float]
    unscanned: dict[str, float]
    replies: dict[str, float]
    classes: dict[str, float]
    rules: dict[str, float]
    observed: dict[str, float]
    spam: dict[str, float]


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """One server of an engine; `canary` is the time of its last passed self-test, `published` is of its signatures.

    `degraded`: lately it had no room to unpack a message. `watched`: miltscan sees the folder that this needs. `why` it
    fails its self-test, empty for one that is up.
    """

    engine: str
    server: str
    type: str
    required: bool
    up: bool
    degraded: bool
    watched: bool
    canary: Count
    version: Count
    published: Count
    errors: float
    queue: Count
    threads: dict[str, float]
    why: str = ""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """One process of the service."""

    name: str
    resident: Count
    cpu: Count
    descriptors: Count


@dataclass(frozen=True, slots=True)
class WorkersStatus:
    """The processes, and their errors since the start."""

    running: float
    configured: int
    respawns: float
    exceptions: float
    lines_lost: float
    processes: list[ProcessStatus]


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue of sendmail; `oldest` is when its oldest entry arrived.

    `listening` is whether its sendmail listens, `up` whether it greets.
    """

    queue: str
    entries: Count
    bytes: Count
    oldest: Count
    readable: bool
    listening: bool = True
    up: bool = True


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """Messages in flight that are on disk, and the free space there."""

    files: Count
    bytes: Count
    free: Count


@dataclass(frozen=True, slots=True)
class AreaStatus:
    """One area of the quarantine; `oldest` is when its oldest message arrived, `cleared` are no longer detected."""

    area: str
    entries: float
    bytes: Count
    oldest: Count
    cleared: Count


@dataclass(frozen=True, slots=True)
class QuarantineStatus:
    """The quarantine: its areas, free space, and messages that are not in its index."""

    areas: list[AreaStatus]
    free: Count
    unindexed: Count


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of the configuration in force; of a secret it shows only that it is set."""

    key: str
    value: str
    default: str
    changed: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class ConfigurationStatus:
    """The configuration in force; settings that differ from their defaults come first."""

    loaded: Count
    reloads_failed: float
    hash: str
    settings: list[Setting]


@dataclass(frozen=True, slots=True)
class Plots:
    """The last minutes, one value for each point: rates by outcome, quantiles over `window` seconds, gauges."""

    times: list[float]
    window: float
    rates: dict[str, list[float]]
    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]
    sessions: list[float]
    in_flight: list[float]
    queues: dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """All that the page shows."""

    at: float
    host: str
    version: str
    since: float
    assessment: Assessment
    day: list[DayChange]
    now: Now
    totals: Totals
    engines: list[EngineStatus]
    workers: WorkersStatus
    queues: list[QueueStatus]
    spool: SpoolStatus | None
    quarantine: QuarantineStatus | None
    configuration: ConfigurationStatus
    detections: list[Detection]
    errors: list[ErrorEvent]
    plots: Plots
