"""Runs tests on the oldest and the newest Python of this machine that miltscan supports, but for its own.

Not a test itself. A separate environment is kept for each next to .venv. Exit status: the first that is not 0.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
SUPPORTED = ((3, 11), (3, 12), (3, 13))
_NAME = re.compile(r"python3\.\d+")


def candidates() -> Iterator[Path]:
    """Interpreters on PATH, and those of pyenv, which are not."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    folders += sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    for folder in folders:
        if folder.name != "shims" and folder.is_dir():
            yield from (path for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name))


def version(python: Path) -> tuple[int, int] | None:
    """Its version, if it can make an environment and build a C extension there."""
    code = (
        "import ensurepip, os, sys, sysconfig;"
        "assert os.path.exists(sysconfig.get_path('include') + '/Python.h');"
        "print(*sys.version_info[:2])"
    )
    answer = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    major, _, minor = answer.stdout.strip().partition(" ")
    return (int(major), int(minor)) if answer.returncode == 0 else None


def found() -> dict[tuple[int, int], Path]:
    """The first interpreter of each supported version."""
    pythons: dict[tuple[int, int], Path] = {}
    for python in candidates():
        if (number := version(python)) in SUPPORTED:
            pythons.setdefault(number, python)
    return pythons


def environment(python: Path, number: tuple[int, int]) -> Path:
    """The Python of an environment with all requirements; made again if these have changed."""
    folder = CHECKOUT / f".venv-{number[0]}.{number[1]}"
    build, requirements = CHECKOUT / "deploy" / "requirements-build.txt", CHECKOUT / "tests" / "requirements.txt"
    done = folder / "requirements.txt"
    inside = folder / "bin" / "python"
    wanted = build.read_bytes() + requirements.read_bytes()
    if not done.exists() or done.read_bytes() != wanted:
        subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
        install: list[str | Path] = [inside, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, "--require-hashes", "--only-binary", ":all:", "-r", build], check=True)
        install += ["--use-pep517", "--no-build-isolation"]  # as in the Makefile
        subprocess.run([*install, "--require-hashes", "-r", requirements], check=True)
        subprocess.run([*install, "--no-deps", "-e", CHECKOUT], check=True)
        done.write_bytes(wanted)
    # the tests write no bytecode, as root: without it each start of a service takes half as long again
    subprocess.run(
        [inside, "-m", "compileall", "-q", *(CHECKOUT / name for name in ("miltscan", "tests", "docs"))], check=True
    )
    return inside


def main(tests: list[str]) -> int:
    """Run `tests` on each."""
    # as in the Makefile: some kernels take a socket filter only from root
    chosen = ["env", "PYTHONDONTWRITEBYTECODE=1", "MILTSCAN_EXAMPLES=other-python"]
    command = chosen if os.geteuid() == 0 else ["sudo", *chosen]
    pythons = found()
    wanted = {min(pythons), max(pythons)} - {sys.version_info[:2]} if pythons else set()
    for number in sorted(wanted):
        python = environment(pythons[number], number)
        print(f"Python {number[0]}.{number[1]}:", flush=True)  # noqa: T201  for the person at the terminal
        status = subprocess.run(
            [*command, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], check=False
        ).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
