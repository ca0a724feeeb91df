"""The kinds of panel of the dashboards, with Grafana's own builders: how they look, not what they show.

The description of a panel is the question that it answers: the questions of its metrics, unless the panel has a note.
A panel whose series may not exist has `none`: what it shows instead, which says why.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generator import links, queries

Panel: TypeAlias = timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel | statetimeline.Panel
_Kind = TypeVar("_Kind", timeseries.Panel, stat.Panel, heatmap.Panel, table.Panel, statetimeline.Panel)
Series: TypeAlias = tuple[str, str]
"""PromQL, and the legend of its result."""
Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""The values from which a colour begins (None: the first colour)."""

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
PER_MINUTE = "suffix:/min"
COUNT = "locale"
"""The unit of a number of messages: 12,034, which `short` shows as 12 K."""
LIMIT = "threshold"
PLAIN: Steps = ((None, "text"),)
NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))
ONE_IS_GOOD: Steps = ((None, "red"), (1, "green"))
UP = {"0": ("down", "red"), "1": ("up", "green")}
_WITH_EXEMPLARS = ("_bucket", "miltscan_unscanned_total", "miltscan_detections_total")


def rising(warning: float, critical: float) -> Steps:
    """Return steps for a value that is worse the higher it is."""
    return ((None, "green"), (warning, "orange"), (critical, "red"))


def falling(critical: float, warning: float) -> Steps:
    """Return steps for a value that is worse the lower it is."""
    return ((None, "red"), (critical, "orange"), (warning, "green"))


def graph(  # noqa: PLR0913 - what differs between graphs
    title: str,
    unit: str,
    *series: Series,
    width: int = 8,
    note: str = "",
    none: str = "",
    steps: Steps = PLAIN,
    colours: Mapping[str, str] | None = None,
    stacked: bool = False,
    logarithmic: bool = False,
    limit: str = "",
    log: str = "",
) -> timeseries.Panel:
    """Return a graph of values over time, with a line where a colour of `steps` begins.

    `colours` are fixed for legends. `log` is the LogQL of the log lines to which the graph links. A logarithmic graph
    has no `none`: Grafana 10.4 writes it at each tick of such an axis that has no label. `limit` is the PromQL of the
    threshold of the site, above which alerts and the status page warn.
    """
    warning = ((limit, LIMIT),) if limit else ()
    panel = (
        begin(timeseries.Panel(), title, (*series, *warning), note, none)
        .span(width)
        .height(8)
        .unit(unit)
        .legend(
            look.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
        )
        .tooltip(look.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .thresholds(_thresholds(steps))
        .show_points(common.VisibilityMode.NEVER)
        .fill_opacity(50 if stacked else 8)
    )
    if logarithmic:
        panel.scale_distribution(look.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    else:
        panel.min(0)
    if len(steps) > 1:
        panel.thresholds_style(look.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(look.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    if limit:
        dashed = {"dash": [10, 10], "fill": "dash"}
        style = {
            "color": {"mode": "fixed", "fixedColor": "orange"},
            "custom.lineStyle": dashed,
            "custom.fillOpacity": 0,
        }
        panel.override_by_name(LIMIT, [DynamicConfigValue(name, value) for name, value in style.items()])
    return panel.data_links([links.to_log(log)]) if log else panel


def number(  # noqa: PLR0913 - what differs between numbers
    title: str, unit: str, promql: str, *, width: int = 3, note: str = "", none: str = "", steps: Steps = PLAIN
) -> stat.Panel:
    """Return a panel of one value at the end of the time shown, with its colour.

    It has no course: the last value of a course may be an old one, of a host that is no longer scraped.
    """
    return (
        begin(stat.Panel(), title, [(promql, "")], note, none, at_the_end=True)
        .decimals(0 if unit == COUNT else 1)
        .span(width)
        .height(4)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE)
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def amount(title: str, promql: str, *, width: int = 3, note: str = "", steps: Steps = PLAIN) -> stat.Panel:
    """Return a panel of a number of messages or events over the time shown; `note` asks the question."""
    return number(title, COUNT, f"{promql} or vector(0)", width=width, note=note, steps=steps)


def assessment(title: str, promql: str, names: Mapping[str, tuple[str, str]], *, note: str) -> stat.Panel:
    """Return a panel that shows the name of a value, on its colour."""
    panel = number(title, COUNT, promql, note=note).mappings([_named(names)])
    return panel.color_mode(common.BigValueColorMode.BACKGROUND)


def spread(  # noqa: PLR0913 - what differs between heat maps
    title: str, unit: str, histogram: str, *, width: int = 12, note: str = "", none: str = ""
) -> heatmap.Panel:
    """Return a heat map of the observations of a histogram over time."""
    promql = f"sum by (le) (increase({histogram}_bucket[$__rate_interval]))"
    return (
        begin(heatmap.Panel(), title, [(promql, "{{le}}")], note, none, form=PromQueryFormat.HEATMAP)
        .span(width)
        .height(8)
        .calculate(calculate=False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(HeatmapColorMode.SCHEME)
            .scheme("Turbo")
            .fill("dark-orange")
            .exponent(0.5)
            .steps(64)
            .reverse(reverse=False)
        )
        .filter_values(heatmap.FilterValueRange().le(1e-9))
        .show_legend()
        .tooltip(
            heatmap.HeatmapTooltip()
            .mode(common.TooltipDisplayMode.SINGLE)
            .y_histogram(y_histogram=True)
            .show_color_scale(show_color_scale=True)
        )
    )


def states(
    title: str,
    *series: Series,
    width: int = 8,
    note: str = "",
    names: Mapping[str, tuple[str, str]] = UP,
    height: int = 8,
) -> statetimeline.Panel:
    """Return a time line of states: each value has a name and a colour."""
    return (
        begin(statetimeline.Panel(), title, series, note, "")
        .span(width)
        .height(height)
        .mappings([_named(names)])
        .thresholds(_thresholds(ONE_IS_GOOD))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .merge_values(merge_values=True)
        .fill_opacity(80)
    )


def begin(  # noqa: PLR0913 - what all kinds have
    panel: _Kind,
    title: str,
    series: Sequence[Series],
    note: str,
    none: str,
    *,
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
    at_the_end: bool = False,
) -> _Kind:
    """Return the panel with its title, its question and its queries."""
    asked = queries.questions(" ".join(promql for promql, _ in series))
    panel.title(title).description(note or " ".join(asked)).datasource(SOURCE)
    if none:
        panel.no_value(none)
    for index, (promql, legend) in enumerate(series):
        target = _target(letter(index), promql, legend, form)
        if form is PromQueryFormat.TIME_SERIES and not at_the_end and any(name in promql for name in _WITH_EXEMPLARS):
            target.exemplar(exemplar=True)  # the queue ID of a message for each bucket
        panel.with_target(target.instant() if at_the_end else target.range())
    return panel


def _target(letter: str, promql: str, legend: str, form: PromQueryFormat) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(letter)
        .datasource(SOURCE)
        .expr(queries.narrowed(promql))
        .format(form)
        .legend_format(legend)
    )


def letter(number: int) -> str:
    """Return the name of a query, by its place."""
    return chr(ord("A") + number)


def _named(names: Mapping[str, tuple[str, str]]) -> ValueMap:
    pairs = enumerate(names.items())
    return ValueMap(
        options={
            value: ValueMappingResult(text=text, color=colour, index=index) for index, (value, (text, colour)) in pairs
        }
    )


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )
