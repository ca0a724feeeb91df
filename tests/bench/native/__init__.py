"""The two C programs of the benchmark, built on demand: the load generator, and the milter with the lowest cost.

They are in C because they share the processors with the filters: a load made in Python would be a large part of all.
"""

import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parent
_FLAGS = ("-O2", "-Wall", "-pthread")


def generator(folder: Path) -> Path:
    """Return the load generator, built in `folder` unless it exists. Raises CalledProcessError if gcc fails."""
    return _built(folder, "generator")


def accept(folder: Path) -> Path:
    """Return the milter that accepts everything, likewise."""
    return _built(folder, "accept", "-lmilter")


def _built(folder: Path, name: str, *libraries: str) -> Path:
    program = folder / name
    if not program.exists():
        command = ["gcc", *_FLAGS, "-o", str(program), str(_FOLDER / f"{name}.c"), *libraries]
        subprocess.run(command, check=True, capture_output=True)
    return program
