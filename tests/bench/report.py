"""Formats the measurements as Markdown for people and as JSON for later comparison; measures nothing."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench import figures, filters, targets, where
from tests.bench.load import Load
from tests.bench.measure import Series
from tests.bench.targets import Figure, Judgement
from tests.bench.whole import Whole

QUANTITIES = {
    "cpu": "CPU of the filter's processes, milliseconds a message",
    "together": "CPU of the filter and of its clamd, milliseconds a message",
    "rate": "Rate, messages a second",
    "p50": "Latency of the message in the middle, milliseconds",
    "p99": "Latency that 99 of 100 messages do not exceed, milliseconds",
}


@dataclass(frozen=True, slots=True)
class Results:
    """One run of the benchmark. Memory in MB, times in seconds; `alone` has the figures of miltscan alone."""

    where: dict[str, str]
    series: list[Series]
    memory: dict[str, list[float]] = field(default_factory=dict)
    memory_with_sessions: dict[str, list[float]] = field(default_factory=dict)
    first_answer: dict[str, float] = field(default_factory=dict)
    whole: dict[str, list[Whole]] = field(default_factory=dict)
    alone: list[Figure] = field(default_factory=list)


def markdown(results: Results) -> str:
    """Format all tables: the median of the rounds, and in parentheses the lowest and the highest."""
    lines = [*(f"- {name}: {value}" for name, value in results.where.items()), ""]
    lines += ["### Targets", "", *_targets(results), ""]
    if results.series:
        for quantity, title in QUANTITIES.items():
            lines += [f"### {title}", "", *quantities(results.series, quantity), ""]
        lines += ["### What the load generator leaves room for", "", *_headroom(results.series), ""]
    if results.whole:
        lines += ["### Whole sandwich", "", *_whole(results.whole), ""]
    if results.first_answer:
        lines += ["### Memory and start", "", *_rest(results), ""]
    return "\n".join(lines)


def write(results: Results, folder: Path) -> Path:
    """Write both forms to a new folder below `folder`; return the new folder."""
    own = folder / where.folder_name(results.where)
    own.mkdir(parents=True)
    (own / "results.md").write_text(f"# Benchmark\n\n{markdown(results)}")
    (own / "results.json").write_text(json.dumps(asdict(results), indent=1) + "\n")
    return own


def document(page: Path, text: str, name: str = "result") -> None:
    """Replace the text between the two marks `name` of a page. ValueError if it has no marks."""
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text().partition(first)
    after = rest.partition(last)[2]
    if not after:
        raise ValueError(f"{page}: nothing between {first} and {last}")
    page.write_text(f"{before}{first}\n\n{text}\n{last}{after}")


def illustrate(page: Path, pictures: Sequence[Path], name: str = "result") -> str:
    """Copy the pictures to `images` next to the page, with the prefix `name`; return the Markdown that shows them."""
    folder = page.parent / "images"
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        shutil.copyfile(picture, folder / f"{name}-{picture.name}")
    return "\n".join(f"![{picture.stem}](images/{name}-{picture.name})\n" for picture in pictures)


def quantities(series: Sequence[Series], quantity: str) -> Iterator[str]:
    """Yield a row for each load, with a column for each filter."""
    names = list(dict.fromkeys(one.filter for one in series))
    yield from _head("size", "sessions", "in a session", *names)
    for load in dict.fromkeys(one.load for one in series):
        found = {one.filter: cell(one.values(quantity)) for one in series if one.load == load}
        yield _row(*_load(load), *(found.get(name, "") for name in names))


def verdict(found: Sequence[Judgement | Figure]) -> str:
    """Return how many of the targets were missed."""
    missed = sum(one.missed for one in found)
    return f"{missed} of {len(found)} targets missed by more than the noise"


def judgements(found: Iterable[Judgement]) -> Iterator[str]:
    """Yield a row for each target and load: the ratio, its noise, and the judgement."""
    yield from _head(
        "miltscan to", "quantity", "size", "sessions", "in a session", "target", "measured", "noise", "met?"
    )
    for one in found:
        target, ratio = one.target, one.ratio
        shown = [f"{target}", f"{ratio.value:.2f}", f"{ratio.noise:.2f}", f"{one}"]
        yield _row(target.against, target.quantity, *_load(one.load), *shown)


def bounds(found: Iterable[Figure]) -> Iterator[str]:
    """Yield a row for each figure of miltscan alone."""
    yield from _head("miltscan alone", "target", "measured", "noise", "met?", "")
    for one in found:
        shown = [f"{one.middle:.3g} {one.bound.unit}", f"{one.noise:.2g}", f"{one}", one.note]
        yield _row(one.bound.what, one.bound, *shown)


def cell(values: Sequence[float]) -> str:
    """Format median, lowest and highest with three digits each."""
    found = figures.spread(values)
    return f"{_number(found.median)} ({_number(found.low)} to {_number(found.high)})"


def _targets(results: Results) -> Iterator[str]:
    """Yield the judgements of all targets that were measured: ratios to others, and figures of miltscan alone."""
    found = [*targets.judged(results.series)]
    yield f"{verdict([*found, *results.alone])}."
    if found:
        yield from ["", *judgements(found)]
    if results.alone:
        yield from ["", *bounds(results.alone)]


def _headroom(series: Sequence[Series]) -> Iterator[str]:
    """Compare the rate of the filter that accepts everything with that of the fastest one that scans."""
    yield from _head(
        "size", "sessions", "in a session", "accept", "fastest scan", "times", "CPU of the load, ms/message"
    )
    for load in dict.fromkeys(one.load for one in series):
        rates = {one.filter: figures.spread(one.values("rate")).median for one in series if one.load == load}
        if (free := rates.pop(filters.ACCEPT, None)) and rates:
            own = next(one.values("own") for one in series if (one.filter, one.load) == (filters.ACCEPT, load))
            fastest = max(rates.values())
            times = f"{free / fastest:.1f}"
            yield _row(*_load(load), _number(free), _number(fastest), times, cell(own))


def _whole(measured: Mapping[str, Sequence[Whole]]) -> Iterator[str]:
    yield from _head("sandwich", "accepted/s", "delivered/s", "CPU of all processes, ms/message")
    for name, values in measured.items():
        parts = ([getattr(one, quantity) for one in values] for quantity in ("accepted", "delivered", "cpu"))
        yield _row(name, *map(cell, parts))


def _rest(results: Results) -> Iterator[str]:
    """Yield the resident MB of each process in order of start, and the time to the first reply."""
    yield from _head("filter", "MB of each process", "with open sessions", "seconds to the first reply")
    for name, seconds in results.first_answer.items():
        memory, more = (_megabytes(found.get(name, [])) for found in (results.memory, results.memory_with_sessions))
        yield _row(name, memory, more, f"{seconds:.2f}")


def _load(load: Load) -> tuple[str, int, int]:
    return load.size, load.sessions, load.in_session


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield "| --- " * len(names) + "|"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _number(value: float) -> str:
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0  # three significant digits
    return f"{value:.{digits}f}"


def _megabytes(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)
