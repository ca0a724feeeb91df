"""A burst of mail of which half is infected: what does it cost the other half that infected mail is quarantined?

It compares `on_infected = "quarantine"` with "reject" in one run, in turn, with the real pair of sendmails, miltscan
and clamd. Measured is the rate at which clean messages arrive at the last stop.
"""

import sys
import time
from contextlib import suppress
from statistics import median

from tests.bench.burst import burst
from tests.bench.handoff import adopt_orphans, reap
from tests.bench.tuning import TunedSandwich, wait_for_all
from tests.bench.variants import VARIANTS
from tests.fakes.eicar import EICAR
from tests.harness.processes import ProgramError
from tests.harness.sandwich import private_folder

TARGET = 0.9
_ACTIONS = ("reject", "quarantine")


def delivery_ratio(messages: int = 2000, clients: int = 8, rounds: int = 3) -> float:
    """Return the rate of clean messages with the quarantine, in terms of that without it: the median of the rounds.

    RuntimeError if a clean message is lost.
    """
    adopt_orphans()
    ratios = []
    for number in range(rounds):
        rates = {action: _rate(action, messages, clients) for action in _ACTIONS}
        ratios.append(rates["quarantine"] / rates["reject"])
        print(f"round {number + 1}: {rates}", file=sys.stderr, flush=True)  # noqa: T201 - progress
    return median(ratios)


def _rate(action: str, messages: int, clients: int) -> float:
    """Clean messages a second, from the first connection until the last one has arrived."""
    clean = messages // 2
    with private_folder() as folder:
        with TunedSandwich(folder, VARIANTS["default"]) as sandwich:
            sandwich.run_with({"policy": {"on_infected": action}})
            began = time.monotonic()
            burst(sandwich.incoming.port, messages, clients, lambda number: EICAR if number % 2 else b"")
            with suppress(ProgramError):
                wait_for_all(sandwich.last, clean)
            elapsed = time.monotonic() - began
            arrived = {*sandwich.last.numbers()}
            entries = sum(1 for _ in (folder / "quarantine").rglob("*.entry"))
        reap()
    if arrived != {*range(0, messages, 2)} or entries != (clean if action == "quarantine" else 0):
        raise RuntimeError(
            f"{action}: {len(arrived)} of {clean} clean messages arrived, {entries} are in the quarantine"
        )
    return clean / elapsed


if __name__ == "__main__":
    found = delivery_ratio(*map(int, sys.argv[1:]))
    print(f"clean mail with the quarantine / without: {found:.2f} (target {TARGET})")  # noqa: T201 - its purpose
    sys.exit(found < TARGET)
