"""`make fuzz`: gives hostile bytes to the readers of mail, guided by the code that they reach (atheris, libFuzzer).

A reader fails if it raises, breaks a bound that its target asserts, takes more than SLOWEST seconds for one input, or
makes the process larger than its share of memory. Inputs that reached new code are kept for the next run.
"""

import argparse
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

from rich.console import Console

from tests.fuzz.targets import TARGETS
from tests.harness.programs import CHECKOUT

KEPT = CHECKOUT / ".venv" / ".fuzz"
SLOWEST = 5  # seconds for one input of a few KiB
LARGEST = 112  # MiB of the process: 64 more than it has before the first input
SHOWN = 4000  # characters of the end of a log

screen = Console(highlight=False)


def main() -> int:
    """The exit status: 0, or 1 where a target failed."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--minutes", type=float, default=10.0, help="for each target (default: 10)")
    options = parser.parse_args()
    if unknown := {*options.targets} - {*TARGETS}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected {', '.join(TARGETS)}")
    results = [fuzz(name, options.minutes * 60) for name in options.targets or TARGETS]
    return 0 if all(results) else 1


def fuzz(name: str, seconds: float) -> bool:
    """Whether a target survived so long; prints what it did."""
    screen.out(f"{name}: {seconds:.0f} s ...")
    corpus = KEPT / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in TARGETS[name].seeds():
        (corpus / sha256(seed).hexdigest()).write_bytes(seed)
    bounds = [f"-max_total_time={seconds:.0f}", f"-timeout={SLOWEST}", f"-rss_limit_mb={LARGEST}"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.one", name, *bounds, "-print_final_stats=1", "-artifact_prefix=./", corpus],
        cwd=failures(name),
        env={"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
    )
    log = (done.stdout + done.stderr).decode("utf-8", "replace")
    if done.returncode:
        screen.out(log[-SHOWN:])
    survived = done.returncode == 0
    screen.out(f"{name}: {summary(log)}, {'ok' if survived else f'FAILED: the input is in {failures(name)}'}")
    return survived


def failures(name: str) -> Path:
    """The folder of inputs that a target failed with."""
    folder = KEPT / f"{name}-failures"
    folder.mkdir(exist_ok=True)
    return folder


def summary(log: str) -> str:
    """The counts in libFuzzer's log: inputs tried, code reached, the largest process."""
    tried, slowest, peak = (
        (re.findall(rf"stat::{key}:\s+(\d+)", log) or ["?"])[-1]
        for key in ("number_of_executed_units", "slowest_unit_time_sec", "peak_rss_mb")
    )
    covered = (re.findall(r"cov: (\d+)", log) or ["?"])[-1]
    return f"{tried} inputs, {covered} points of the code reached, slowest {slowest} s, at most {peak} MiB"


if __name__ == "__main__":
    sys.exit(main())
