"""`make bench-tuning`: a burst of mail through pairs of sendmails, each with one additional setting, or with a profile.

Measures the real pair with miltscan and clamd, from the first connection until the last message is at the last stop.
Rounds are interleaved, the figures are medians. docs/tuning.md has the effect and risk of each setting. It takes 20
minutes or more.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from tests.bench import cpu, where
from tests.bench.burst import LastStop, burst
from tests.bench.handoff import adopt_orphans, ended_children, reap
from tests.bench.variants import VARIANTS, Variant
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import ProgramError, wait_until
from tests.harness.sandwich import private_folder

_STUCK = 60  # seconds without a single delivery


@dataclass(frozen=True, slots=True)
class Sample:
    """One burst: messages answered and delivered a second, CPU of both sendmails (ms a message), and failures."""

    answered: float
    delivered: float
    cpu: float
    refused: int
    lost: int
    twice: int


Samples = dict[str, list[Sample]]


class TunedSandwich(ScanningSandwich):
    """The pair of a variant, its queue runners, and a last stop that costs next to nothing."""

    def __init__(self, folder: Path, variant: Variant) -> None:
        super().__init__(folder)
        self.variant = variant

    def _start(self) -> None:
        self.last = LastStop.start(self.programs)
        self.site = {"SITE_MAILBOX_PORT": str(self.last.port), "SITE_PROFILE": self.variant.profile}
        for name, lines in (("incoming", self.variant.incoming), ("delivery", self.variant.delivery)):
            file = self.folder / f"{name}.variant.m4"
            file.write_text(f"include(`{self.folder}/{name}.site.m4')dnl\n{lines}")
            self.site[f"SITE_{name.upper()}"] = str(file)
        super()._start()
        os.setpriority(os.PRIO_PROCESS, self.delivery.running.pid, self.variant.delivery_nice)
        self.incoming.start_runner_beside(self.variant.incoming_runs)
        self.delivery.start_runner_beside(self.variant.delivery_runs)

    def sendmails(self) -> list[int]:
        """The daemons and the queue runners."""
        names = {"incoming", "delivery", "incoming-queue", "delivery-queue"}
        return [program.pid for program in self.programs.running if program.name in names]

    def bystanders(self) -> list[int]:
        """All other programs with their descendants."""
        others = {program.pid for program in self.programs.running} - {*self.sendmails()}
        return [pid for other in others for pid in cpu.family(other)]


def main(arguments: list[str]) -> int:
    """Return the exit status: 2 for a name that is not a variant."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.tuning",
        description=__doc__,
        epilog="Example: python -m tests.bench.tuning --messages 400 --rounds 1 untuned default burst",
    )
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="file for all samples")
    parser.add_argument("variants", nargs="*", help=f"any of {', '.join(VARIANTS)}; all if none is named")
    options = parser.parse_args(arguments)
    if unknown := set(options.variants) - {*VARIANTS}:
        parser.error(f"no such variant: {', '.join(sorted(unknown))}")
    samples = run(options.variants or list(VARIANTS), options.messages, options.clients, options.rounds)
    if options.json:
        options.json.write_text(json.dumps({n: [asdict(one) for one in all_] for n, all_ in samples.items()}, indent=1))
    print("\n".join(markdown(samples)))  # noqa: T201 - the benchmark's purpose
    return 0


def run(names: Sequence[str], messages: int, clients: int, rounds: int) -> Samples:
    """Measure every variant in turn, `rounds` times."""
    adopt_orphans()
    samples: Samples = {name: [] for name in names}
    for number in range(rounds):
        for name in names:
            samples[name].append(measured(VARIANTS[name], messages, clients))
            print(f"round {number + 1}, {name}: {samples[name][-1]}", file=sys.stderr, flush=True)  # noqa: T201 - progress
    return samples


def measured(variant: Variant, messages: int, clients: int) -> Sample:
    """Measure one burst through a new sandwich."""
    with private_folder() as folder:
        with TunedSandwich(folder, variant) as sandwich:
            before = ended_children() + cpu.seconds(sandwich.sendmails())
            began = time.monotonic()
            sent = burst(sandwich.incoming.port, messages, clients)
            with suppress(ProgramError):  # messages that are stuck count as lost
                wait_for_all(sandwich.last, len(sent.accepted))
            elapsed = time.monotonic() - began
            before += cpu.seconds(sandwich.bystanders())
            arrived = sandwich.last.numbers()
        reap()
    return Sample(
        messages / sent.seconds,
        len(arrived) / elapsed,
        (ended_children() - before) * 1000 / messages,
        messages - len(sent.accepted),
        len({*sent.accepted} - {*arrived}),
        len(arrived) - len({*arrived}),
    )


def wait_for_all(last: LastStop, messages: int) -> None:
    """Return when this number has arrived; ProgramError if none arrives for a minute."""
    while (arrived := last.amount()) < messages:
        wait_until(partial(_more_than, arrived, last), _STUCK, "another delivery")


def _more_than(arrived: int, last: LastStop) -> bool:
    return last.amount() > arrived


def markdown(samples: Samples) -> Iterator[str]:
    """Yield the surroundings and a row for each variant: medians, and their ratio to those of the first variant."""
    yield "".join(f"- {name}: {value}\n" for name, value in where.surroundings().items())
    yield "| pair | answered/s | times | delivered/s | times | CPU ms/message | refused | lost or stuck | twice |"
    yield "| --- " * 9 + "|"
    first = next(iter(samples.values()))
    for name, all_ in samples.items():
        answered, delivered = (
            f"{_middle(all_, of):.0f} | {_middle(all_, of) / _middle(first, of):.2f}"
            for of in ("answered", "delivered")
        )
        counts = " | ".join(str(sum(getattr(one, of) for one in all_)) for of in ("refused", "lost", "twice"))
        yield f"| {name} | {answered} | {delivered} | {_middle(all_, 'cpu'):.1f} | {counts} |"


def _middle(samples: Sequence[Sample], of: str) -> float:
    return float(median(getattr(sample, of) for sample in samples))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
