"""`make bench-handoff`: compares both kinds of handoff to the delivery sendmail. Takes about a minute.

Measures whole sandwiches without a milter, from the first connection until the last message is in the mailbox. The
program variant starts sendmail through a shell script here, which costs about a millisecond a message.
"""

import argparse
import ctypes
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from statistics import median

import psutil

from tests.bench import cpu, where
from tests.harness import guard
from tests.harness.client import new_message_id, text_message
from tests.harness.processes import wait_until
from tests.harness.sandwich import Sandwich, private_folder

VARIANTS = ("tcp", "program")
_BODY = b"A line of seventy-two characters, again and again, as text in mail has.\r\n" * 40  # 3 KB
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Load:
    """A number of messages over concurrent sessions, one message in each session."""

    messages: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Messages delivered a second, and milliseconds of CPU of all sendmails for one message."""

    rate: float
    cpu: float


Samples = dict[tuple[Load, str], list[Sample]]


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.handoff", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=100)
    options = parser.parse_args(arguments)
    samples = run([Load(options.messages, sessions) for sessions in (1, 8)], options.rounds)
    print("\n".join(markdown(samples)))  # noqa: T201 - the benchmark's purpose
    return 0


def run(loads: list[Load], rounds: int) -> Samples:
    """Measure every load with each variant in turn, `rounds` times."""
    adopt_orphans()
    samples: Samples = {}
    for _, load, variant in product(range(rounds), loads, VARIANTS):
        samples.setdefault((load, variant), []).append(measured(variant, load))
    return samples


def measured(variant: str, load: Load) -> Sample:
    """Measure one load through a new sandwich."""
    with private_folder() as folder:
        with Sandwich(folder, site={"SITE_HANDOFF": variant}) as sandwich:
            bystanders = [p.pid for p in sandwich.programs.running if p.name in {"mailbox", "syslog"}]
            daemons = [sandwich.incoming.running.pid, sandwich.delivery.running.pid]
            before = ended_children() + cpu.seconds(daemons)
            began = time.monotonic()
            deliver(sandwich, load)
            elapsed = time.monotonic() - began
            before += cpu.seconds(bystanders)
        reap()
    return Sample(load.messages / elapsed, (ended_children() - before) * 1000 / load.messages)


def deliver(sandwich: Sandwich, load: Load) -> None:
    """Send the load; return when all of it is in the mailbox."""
    messages = [text_message(new_message_id(), _BODY) for _ in range(load.messages)]
    with ThreadPoolExecutor(load.sessions) as pool:
        assert {reply.code for reply in pool.map(sandwich.send, messages)} == {250}
    new = sandwich.mailbox.maildir / "new"
    wait_until(lambda: len([*new.iterdir()]) == load.messages, 120, "all messages in the mailbox")


def adopt_orphans() -> None:
    """Become the parent of orphans: sendmail delivers in orphans, and their CPU time counts."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap() -> None:
    """Wait for every child except the guard, so that `ended_children` includes its CPU time."""
    while children := {child.pid for child in psutil.Process().children()} - guard.pids():
        for child in children:
            os.waitpid(child, 0)


def ended_children() -> float:
    """Return the CPU seconds of all descendants that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def markdown(samples: Samples) -> Iterator[str]:
    """Yield the surroundings and a row for each load: medians, and the ratio to the CPU time of TCP."""
    yield "".join(
        f"- {name}: {value}\n" for name, value in where.surroundings().items() if name not in {"libmilter", "ClamAV"}
    )
    yield "| sessions | TCP: messages/s | program: messages/s | TCP: CPU ms/message | program: CPU ms/message | ratio |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for load in dict.fromkeys(load for load, _ in samples):
        rates = [median(sample.rate for sample in samples[load, variant]) for variant in VARIANTS]
        costs = [median(sample.cpu for sample in samples[load, variant]) for variant in VARIANTS]
        cells = [f"{value:.0f}" for value in [*rates, *costs]]
        yield f"| {load.sessions} | {' | '.join(cells)} | {costs[1] / costs[0]:.2f} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
