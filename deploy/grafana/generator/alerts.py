"""Which panel shows what an alert is about, and the address of it in deploy/prometheus/miltscan.alerts.yml."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.grafana.generator import whole

FILE = Path(__file__).parents[2] / "prometheus" / "miltscan.alerts.yml"

_PANELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "miltscan": {
        "Alerts": ("RulesMissing",),
        "State of each part": ("SocketLost",),
        "Added latency": ("LatencyHigh", "LatencyBurnFast", "LatencyBurnSlow"),
        "Not completely scanned, by reason": ("UnscannedShare", "CoverageBurnFast", "CoverageBurnSlow"),
        "Infected, by direction": ("InfectedOutgoing",),
        "Tempfailed and shed": ("TempfailShare", "Shed", "SessionsFull"),
        "Servers": ("NoEngine", "OptionalEngineDown", "EngineServerDown", "CanaryStale"),
        "Room to unpack messages": ("EngineDegraded",),
        "clamd's queue": ("ClamdQueueLong",),
        "Age of the signatures": ("SignaturesOld",),
        "Sources of rules out of date": ("RuleSourceStale",),
        "Lists out of date": ("ListsStale",),
        "Broken lines of the lists": ("ListsBroken",),
        "No longer detected": ("QuarantineCleared",),
        "Not stored": ("QuarantineNotStored",),
        "Not in the index": ("QuarantineUnindexed",),
        "Disk space of the quarantine": ("QuarantineDiskLow",),
        "Work of the keeper": ("ReleasesFailing",),
        "Copies": ("CopiesNotAccepted",),
        "Keeper": ("KeeperDown",),
        "Detected after delivery": ("DetectedLate",),
        "Archived messages": ("ArchiveIncomplete",),
    },
    "miltscan-sandwich": {
        "State of the sandwich": ("SendmailDown", "QueueUnreadable"),
        "Messages waiting, by queue": ("QueueGrowing",),
        "Oldest message in the queues": ("QueueOld",),
        "Probes": ("ProbeFailing", "ProbeStale"),
        "Receipts at the delivery side": ("ReceiptForged", "ReceiptsInvalid"),
    },
    "miltscan-internals": {
        "Reachable": ("Down", "Absent"),
        "Workers": ("NoWorker", "WorkersLow"),
        "Respawns": ("RespawnLoop",),
        "Exceptions by place": ("Exceptions",),
        "Failed reloads": ("ReloadFailed",),
        "Log lines lost": ("LogLinesLost",),
        "Processes that cannot write": ("LogStalled", "MetricsInMemory"),
        "Free spool space": ("SpoolFilling", "SpoolLow"),
    },
}
"""The alerts of each panel, by the dashboard and the title; their names without miltscan's."""
_ADDRESS = re.compile(r"(- alert: (\w+)\n(?:(?! *- alert: ).*\n)*? *dashboard_url: ).*")


def addresses() -> Mapping[str, str]:
    """Return the address of its panel for each alert."""
    return dict(_addresses())


def _addresses() -> Iterator[tuple[str, str]]:
    for board in whole.BOARDS:
        numbers = whole.numbers(board)
        for title, alerts in _PANELS[board.uid].items():
            yield from ((f"Miltscan{alert}", f"d/{board.uid}?viewPanel={numbers[title]}") for alert in alerts)


def with_addresses(text: str) -> str:
    """Return the text of the file with these addresses; an alert without a panel leads to the overview."""
    known = addresses()
    return _ADDRESS.sub(lambda found: found[1] + known.get(found[2], f"d/{whole.BOARDS[0].uid}"), text)
