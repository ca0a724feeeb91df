"""The surroundings on which the figures of a benchmark depend: machine, kernel and versions."""

import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from miltscan import __version__


def surroundings() -> dict[str, str]:
    """Return the surroundings by name, for people."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {_processors()}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()} in {sys.base_prefix}",
        "miltscan": __version__,
        "libmilter": package_version("libmilter1.0.1"),
        "sendmail": package_version("sendmail-bin"),
        "ClamAV": package_version("clamav-daemon"),
    }


def package_version(package: str) -> str:
    """Return the version of a Debian package, "unknown" if it is not installed."""
    query = ["dpkg-query", "--show", "--showformat=${Version}", package]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "unknown"
    except FileNotFoundError:
        return "unknown"


def folder_name(where: dict[str, str]) -> str:
    """Return a name for a folder from date, machine and versions; names sort by date."""
    names = ("date", "machine", "miltscan", "clamav-milter", "libmilter")
    said = [where[names[0]], where[names[1]], *(f"{name} {where[name]}" for name in names[2:] if name in where)]
    return "_".join(re.sub(r"[^\w.+]+", "-", one).strip("-") for one in said)


def _processors() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else "unknown processor"
