"""Reads miltscan's counters over HTTP."""

from collections.abc import Mapping

import httpx
from prometheus_client.parser import text_string_to_metric_families

_SHOWN = ("_total", "_count")  # counters; histogram buckets would fill the screen


def is_ready(port: int) -> bool:
    """Return whether /readyz reports that the service can scan."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def read(port: int) -> dict[str, int]:
    """Return every counter by its name and labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        _title(s.name, s.labels): int(s.value)
        for s in samples
        if s.name.startswith("miltscan_") and s.name.endswith(_SHOWN) and "_process_" not in s.name
    }


def _title(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name
