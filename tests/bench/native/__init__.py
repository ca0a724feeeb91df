"""The two C programs of the benchmark, built where they are needed: what makes the load, and the least a milter costs.

In C because they run on the same processors as what is measured: a load made in Python would be a good part of it.
"""

import subprocess
from pathlib import Path

_FOLDER = Path(__file__).parent
_FLAGS = ("-O2", "-Wall", "-pthread")


def generator(folder: Path) -> Path:
    """The load generator, built in `folder` unless it is there. Raises CalledProcessError when gcc fails."""
    return _built(folder, "generator")


def accept(folder: Path) -> Path:
    """The milter that accepts everything, likewise."""
    return _built(folder, "accept", "-lmilter")


def _built(folder: Path, name: str, *libraries: str) -> Path:
    program = folder / name
    if not program.exists():
        command = ["gcc", *_FLAGS, "-o", str(program), str(_FOLDER / f"{name}.c"), *libraries]
        subprocess.run(command, check=True, capture_output=True)
    return program
