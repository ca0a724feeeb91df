"""The kinds of panel of the dashboard, with Grafana's own builders: how they look, not what they show.

The description of a panel is the question that it answers: the questions of its metrics, unless the panel has a note.
"""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.units import Short

from deploy.grafana.generator import queries

Panel: TypeAlias = timeseries.Panel | stat.Panel | heatmap.Panel | table.Panel | statetimeline.Panel
_Kind = TypeVar("_Kind", timeseries.Panel, stat.Panel, heatmap.Panel, table.Panel, statetimeline.Panel)
Series: TypeAlias = tuple[str, str]
"""PromQL, and the legend of its result."""
Steps: TypeAlias = Sequence[tuple[float | None, str]]
"""The values from which a colour begins (None: the first colour)."""

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
PER_SECOND = "suffix: /s"
GOOD: Steps = ((None, "green"),)
NONE_IS_GOOD: Steps = ((None, "green"), (1, "red"))
ONE_IS_GOOD: Steps = ((None, "red"), (1, "green"))


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
    steps: Steps = GOOD,
    stacked: bool = False,
) -> timeseries.Panel:
    """Return a graph of values over time, with a line where a colour of `steps` begins."""
    panel = (
        _panel(timeseries.Panel(), title, series, note)
        .span(width)
        .height(8)
        .unit(unit)
        .min(0)
        .legend(
            look.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(show_legend=True)
            .calcs(["mean", "max", "lastNotNull"])
        )
        .tooltip(look.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .thresholds(_thresholds(steps))
        .show_points(common.VisibilityMode.NEVER)
        .fill_opacity(30 if stacked else 8)
    )
    if len(steps) > 1:
        panel.thresholds_style(look.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(look.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    return panel


def number(  # noqa: PLR0913 - what differs between numbers
    title: str, unit: str, promql: str, *, width: int = 3, note: str = "", steps: Steps = GOOD
) -> stat.Panel:
    """Return a panel of one value, with its colour and its course."""
    return (
        _panel(stat.Panel(), title, [(promql, "")], note)
        .decimals(0 if unit == Short else 2)  # increase() extrapolates, so a count is rarely whole
        .span(width)
        .height(4)
        .unit(unit)
        .thresholds(_thresholds(steps))
        .graph_mode(common.BigValueGraphMode.AREA)
        .color_mode(common.BigValueColorMode.VALUE)
        .text_mode(common.BigValueTextMode.VALUE)
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def spread(title: str, unit: str, histogram: str, *, width: int = 12, note: str = "") -> heatmap.Panel:
    """Return a heat map of the observations of a histogram over time."""
    promql = queries.increase(f"{histogram}_bucket", "le", "$__rate_interval")
    return (
        _panel(heatmap.Panel(), title, [(promql, "{{le}}")], note, PromQueryFormat.HEATMAP)
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


def states(title: str, *series: Series, width: int = 8, note: str = "") -> statetimeline.Panel:
    """Return a time line of states that are up (1) or down (0)."""
    results = {
        "0": ValueMappingResult(text="down", color="red", index=0),
        "1": ValueMappingResult(text="up", color="green", index=1),
    }
    return (
        _panel(statetimeline.Panel(), title, series, note)
        .span(width)
        .height(8)
        .mappings([ValueMap(options=results)])
        .thresholds(_thresholds(ONE_IS_GOOD))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.8)
        .merge_values(merge_values=True)
        .fill_opacity(80)
    )


Column: TypeAlias = tuple[str, str, str]
"""PromQL, its title and its unit."""


def rows(
    title: str, by: Sequence[str], *columns: Column, width: int = 8, note: str = "", links: bool = False
) -> table.Panel:
    """Return a table of present values: the labels `by`, then a column for each query.

    With `links` an instance links to its status page.
    """
    series = [(promql, "") for promql, _, _ in columns]
    panel = _panel(table.Panel(), title, series, note, PromQueryFormat.TABLE).span(width).height(8)
    # Grafana names the values of a query "Value", and with several queries adds the letter of the query
    several = len(columns) > 1
    values = {f"Value #{_letter(n)}" if several else "Value": column for n, column in enumerate(columns)}
    names = {value: heading for value, (_, heading, _) in values.items()}
    order = {name: index for index, name in enumerate([*by, *values])}
    panel.with_transformation(DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        DataTransformerConfig(
            "organize", options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
        )
    )
    for _, heading, unit in columns:
        panel.override_by_name(heading, [DynamicConfigValue("unit", unit)])
    if links:
        page = {"title": "Status page", "url": "http://${__value.text}/", "targetBlank": True}
        panel.override_by_name("instance", [DynamicConfigValue("links", [page])])
    return panel.sort_by([look.TableSortByFieldState().display_name(columns[0][1]).desc(desc=True)])


def _panel(
    panel: _Kind,
    title: str,
    series: Sequence[Series],
    note: str,
    form: PromQueryFormat = PromQueryFormat.TIME_SERIES,
) -> _Kind:
    asked = queries.questions(" ".join(promql for promql, _ in series))
    panel.title(title).description(note or " ".join(asked)).datasource(SOURCE)
    for number, (promql, legend) in enumerate(series):
        panel.with_target(_target(_letter(number), promql, legend, form))
    return panel


def _target(letter: str, promql: str, legend: str, form: PromQueryFormat) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .ref_id(letter)
        .datasource(SOURCE)
        .expr(queries.narrowed(promql))
        .format(form)
        .legend_format(legend)
    )
    return target.instant() if form is PromQueryFormat.TABLE else target.range()


def _letter(number: int) -> str:
    return chr(ord("A") + number)


def _thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in steps])
    )
