"""The measurements as Markdown for people and as JSON for later comparison; measures nothing."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.measure import Cost

_SIZES = {1_000: "1 KB", 30_000: "30 KB", 1_000_000: "1 MB"}


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the benchmark; the first filter is compared with the second. Memory in MiB, times in seconds."""

    where: dict[str, str]
    costs: list[Cost]
    memory: dict[str, list[float]]
    memory_with_sessions: dict[str, list[float]]
    first_answer: dict[str, float]


def surroundings() -> dict[str, str]:
    """What the numbers depend on: machine and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {_processors()}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()} in {sys.base_prefix}",
        "libmilter": _package_version("libmilter1.0.1"),
    }


def markdown(results: Results) -> str:
    """The tables."""
    return "\n".join(
        [
            "# CPU of the filter per message\n",
            *(f"- {name}: {value}" for name, value in results.where.items()),
            "\nMilliseconds of CPU a message: median of the rounds (lowest to highest). Ratio of the medians.\n",
            *_table(results.costs),
            "\nResident MiB of each process in order of start, idle and with open sessions; seconds to first answer.\n",
            *_rest(results),
            "",
        ]
    )


def write(results: Results, folder: Path) -> Path:
    """Write both forms to `folder`; the path of the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{results.where['date'].replace(':', '')}.md"
    path.write_text(markdown(results))
    path.with_suffix(".json").write_text(json.dumps(asdict(results), indent=1) + "\n")
    return path


def _table(costs: Sequence[Cost]) -> Iterator[str]:
    filters = list(dict.fromkeys(cost.filter for cost in costs))
    yield f"| size | sessions | {' | '.join(filters)} | ratio |"
    yield "| --- " * (len(filters) + 3) + "|"
    for load in dict.fromkeys(cost.load for cost in costs):
        found = {cost.filter: cost for cost in costs if cost.load == load}
        ratio = found[filters[0]].median / found[filters[-1]].median
        cells = " | ".join(_cell(found[name]) for name in filters)
        yield f"| {_SIZES.get(load.size, load.size)} | {load.sessions} | {cells} | {ratio:.2f} |"


def _cell(cost: Cost) -> str:
    return f"{cost.median:.3f} ({min(cost.rounds):.3f} to {max(cost.rounds):.3f})"


def _rest(results: Results) -> Iterator[str]:
    yield "| filter | at rest | idle sessions | first answer |"
    yield "| --- | --- | --- | --- |"
    for name, seconds in results.first_answer.items():
        memory, more = (_mebibytes(found[name]) for found in (results.memory, results.memory_with_sessions))
        yield f"| {name} | {memory} | {more} | {seconds:.2f} |"


def _mebibytes(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


def _processors() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models)} x {models[0]}" if models else "unknown processor"


def _package_version(package: str) -> str:
    query = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout or "unknown"
