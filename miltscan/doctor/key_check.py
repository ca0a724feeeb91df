"""Whether the running service has read the keys of the key file: `miltscan keys new` changes the file only.

The service shows the ids of its keys as a metric; its folder needs no exporter and no credentials, only its user or
root.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from miltscan import __version__
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, warning
from miltscan.core.keys import Keyring
from miltscan.doctor.ports import has_listener
from miltscan.telemetry.merge import collected
from miltscan.telemetry.service_metrics import BUILD, KEYS


def unread_key(settings: Settings, keys: Keyring) -> str:
    """The id of the first key that the service of this host has not read; empty if there is none, or if unknown."""
    if not keys or not has_listener(settings.milter.socket):
        return ""
    used = keys_in_use(Path(settings.exporter.directory))
    return "" if used is None else next((key.id for key in keys if key.id not in used), "")


def keys_in_use(directory: Path) -> frozenset[str] | None:
    """The ids of the keys that the service which counts in `directory` has read; None if unknown.

    Another version of miltscan may show no keys. The folder of a service that has ended keeps its last values.
    """
    try:
        samples = [sample for metric in collected(directory).collect() for sample in metric.samples]
    except (OSError, RuntimeError, ValueError, struct.error):  # missing, closed to this user, or a broken file
        return None
    if not any(one.name == BUILD.name and one.labels.get("version") == __version__ for one in samples):
        return None
    return frozenset(one.labels["key"] for one in samples if one.name == KEYS.name)


def unread_text(key: str) -> str:
    """What is wrong and what to do about it, in one sentence for a person."""
    return f"the service has not read key {key} yet; run: systemctl reload miltscan"


def unread_key_findings(settings: Settings, keys: Keyring) -> Iterator[Finding]:
    """A warning if the service has not read one of the keys."""
    if key := unread_key(settings, keys):
        yield warning("keys.file", f"the service has not read key {key} yet", "run: systemctl reload miltscan")
