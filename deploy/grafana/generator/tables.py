"""Tables of present values: some labels, then a column for each query."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.grafana.generator.panels import begin, letter

Column: TypeAlias = tuple[str, str, str]
"""PromQL, its title and its unit."""
Names: TypeAlias = Mapping[str, tuple[str, str]]


def rows(  # noqa: PLR0913 - what differs between tables
    title: str,
    by: Sequence[str],
    *columns: Column,
    width: int = 8,
    height: int = 8,
    note: str = "",
    none: str = "",
    names: Mapping[str, Names] | None = None,
    links: bool = False,
    values: bool = True,
) -> table.Panel:
    """Return a table; `names` are those of the values of a column. Without `values` it has only the labels.

    With `links` an instance links to its status page.
    """
    series = [(promql, "") for promql, _, _ in columns]
    panel = (
        begin(table.Panel(), title, series, note, none, form=PromQueryFormat.TABLE, at_the_end=True)
        .span(width)
        .height(height)
        .min_width(60)
    )
    # Grafana names the values of a query "Value", and with several queries adds the letter of the query
    several = len(columns) > 1
    own = {f"Value #{letter(n)}" if several else "Value": column for n, column in enumerate(columns)}
    renamed = {value: heading for value, (_, heading, _) in own.items()}
    order = {name: index for index, name in enumerate([*by, *own])}
    hidden = {"Time": True, **({} if values else dict.fromkeys(own, True))}
    panel.with_transformation(DataTransformerConfig("merge", options={}))
    panel.with_transformation(
        DataTransformerConfig(
            "organize", options={"excludeByName": hidden, "indexByName": order, "renameByName": renamed}
        )
    )
    for _, heading, unit in columns:
        panel.override_by_name(heading, [DynamicConfigValue("unit", unit), *_named(names or {}, heading)])
    wide = DynamicConfigValue("custom.minWidth", 170)
    panel.override_by_name("instance", [wide])
    if links:
        page = {"title": "Status page", "url": "http://${__value.text}/", "targetBlank": True}
        panel.override_by_name("instance", [DynamicConfigValue("links", [page])])
    return panel.sort_by([look.TableSortByFieldState().display_name(columns[0][1]).desc(desc=True)])


def _named(names: Mapping[str, Names], heading: str) -> list[DynamicConfigValue]:
    if heading not in names:
        return []
    options = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(names[heading].items())
    }
    return [
        DynamicConfigValue("mappings", [{"type": "value", "options": options}]),
        DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
    ]
