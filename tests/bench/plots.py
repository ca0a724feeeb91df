"""The measurements as PNG plots: one for each quantity, and one of the whole sandwich. Requires matplotlib."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib import ticker

from tests.bench import figures
from tests.bench.load import Load
from tests.bench.measure import Series
from tests.bench.report import QUANTITIES, Results
from tests.bench.whole import Whole

mpl.use("agg")  # no display
_COLUMNS = 4  # sizes of messages
_ALONG = {"sessions": "sessions", "size": "size of a message", "workers": "workers", "servers": "servers of clamd"}
_WHOLE = {
    "accepted": "accepted, messages a second",
    "delivered": "delivered, messages a second",
    "cpu": "CPU, ms a message",
}


def write(results: Results, folder: Path) -> list[Path]:
    """Write the plots; return their paths."""
    paths = [_quantity(results.series, quantity, folder) for quantity in QUANTITIES] if results.series else []
    return [*paths, _whole(results.whole, folder)] if results.whole else paths


def growth(sweeps: Mapping[str, Sequence[Series]], folder: Path) -> list[Path]:
    """Write a plot for each sweep: rate and p99 over the quantity that grows."""
    along = {"sessions": _sessions, "size": _size, "workers": _number, "servers": _number}
    return [_growth(name, series, along[name], folder) for name, series in sweeps.items() if name in along]


def _growth(name: str, series: Sequence[Series], place: Callable[[Series], int], folder: Path) -> Path:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    for axis, quantity in zip(axes, ("rate", "p99"), strict=True):
        lines: dict[str, list[tuple[int, float]]] = {}
        for one in series:
            middle = figures.spread(one.values(quantity)).median
            lines.setdefault(_line(name, one), []).append((place(one), middle))
        for label, points in lines.items():
            axis.plot(*zip(*sorted(points), strict=True), marker="o", label=label)
        axis.set(xlabel=_ALONG[name], xscale="log", yscale="log")
        axis.set_title(QUANTITIES[quantity], fontsize="medium")
        axis.set_xticks(sorted({place(one) for one in series}))
        _plain(axis)
        if name == "size":
            axis.xaxis.set_major_formatter(lambda size, _: Load((round(size),), 1, 1).size)
            axis.tick_params("x", rotation=45)
        axis.legend(fontsize="small")
    return _saved(figure, folder / f"{name}.png")


def _line(name: str, one: Series) -> str:
    """Return what is constant along a line."""
    sessions = f"{one.load.size}, {one.load.sessions} sessions, {one.load.in_session} in each"
    return {"sessions": f"{one.filter}, {one.load.size}", "size": one.filter}.get(name, sessions)


def _sessions(one: Series) -> int:
    return one.load.sessions


def _size(one: Series) -> int:
    return one.load.sizes[0]


def _number(one: Series) -> int:
    return int(one.filter.split()[0])  # "2 workers"


def _quantity(series: Sequence[Series], quantity: str, folder: Path) -> Path:
    """Plot each kind of message over the sessions, with a line and its spread for each filter.

    The upper row has several messages in a session, the lower row one.
    """
    ordered = sorted(series, key=lambda one: (one.load.in_session == 1, one.load.name, one.load.sizes))
    kinds = list(dict.fromkeys((one.load.size, one.load.in_session == 1) for one in ordered))
    columns = min(len(kinds), _COLUMNS)
    rows = -(-len(kinds) // columns)
    shape = {"figsize": (3.6 * columns, 4 * rows), "squeeze": False}
    figure, axes = plt.subplots(rows, columns, layout="constrained", **shape)
    for axis, (size, single) in zip(axes.flat, kinds, strict=False):
        chosen = [one for one in series if (one.load.size, one.load.in_session == 1) == (size, single)]
        axis.set(title=f"{size}{', one a session' if single else ''}", xlabel="sessions", xscale="log", yscale="log")
        _lines(axis, chosen, quantity)
        _plain(axis)
    for axis in axes.flat[len(kinds) :]:
        axis.set_axis_off()
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=columns + 1)
    figure.suptitle(QUANTITIES[quantity])
    return _saved(figure, folder / f"{quantity}.png")


def _lines(axis: Any, series: Sequence[Series], quantity: str) -> None:  # noqa: ANN401 - matplotlib's, untyped here
    for name in dict.fromkeys(one.filter for one in series):
        own = sorted((one for one in series if one.filter == name), key=lambda one: one.load.sessions)
        spreads = [figures.spread(one.values(quantity)) for one in own]
        errors = [[one.median - one.low for one in spreads], [one.high - one.median for one in spreads]]
        sessions = [one.load.sessions for one in own]
        axis.errorbar(sessions, [one.median for one in spreads], errors, marker="o", capsize=3, label=name)
        axis.set_xticks(sessions)


def _plain(axis: Any) -> None:  # noqa: ANN401 - as above
    """Label an axis with plain numbers (0.5 and 30, not powers of ten), only at measured values."""
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.xaxis.set_major_formatter("{x:g}")
    axis.tick_params("x", labelsize="small")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(ticker.LogLocator(subs=(2, 3, 5)))
    axis.yaxis.set_minor_formatter("{x:g}")


def _whole(measured: dict[str, list[Whole]], folder: Path) -> Path:
    figure, axes = plt.subplots(1, len(_WHOLE), figsize=(4 * len(_WHOLE), 4), layout="constrained")
    for axis, (quantity, title) in zip(axes, _WHOLE.items(), strict=True):
        spreads = [figures.spread([getattr(one, quantity) for one in values]) for values in measured.values()]
        errors = [[one.median - one.low for one in spreads], [one.high - one.median for one in spreads]]
        axis.bar([*measured], [one.median for one in spreads], yerr=errors, capsize=4)
        axis.set_title(title)
        axis.tick_params("x", rotation=30)
    figure.suptitle("Whole sandwich")
    return _saved(figure, folder / "whole.png")


def _saved(figure: Any, path: Path) -> Path:  # noqa: ANN401 - as above
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
