"""docs/rules.md names the conditions, placeholders and actions that rules have, and no others."""

import re
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.action import ActionName
from miltscan.core.conditions import CONDITIONS
from miltscan.core.template import PLACEHOLDERS

PAGE = (Path(__file__).parents[3] / "docs" / "rules.md").read_text()
BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def first_cells(heading: str) -> list[str]:
    """The names in the first column of the table below a heading."""
    section = PAGE[PAGE.index(f"\n{heading}\n") + len(heading) :]
    lines = section[section.index("\n|") + 1 :].split("\n\n")[0].splitlines()[2:]
    return [name for line in lines for name in re.findall(r"`([^`]+)`", line.split("|")[1])]


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("## Conditions", CONDITIONS),
        ("## Actions", ActionName),
        ("## Placeholders", [f"{{{name}}}" for name in PLACEHOLDERS]),
    ],
)
def test_a_table_names_all(heading: str, names: list[str]) -> None:
    """Each has one row; a new one without a row is an error."""
    assert sorted(first_cells(heading)) == sorted(names)


def test_the_examples_are_valid() -> None:
    """Each example is a whole configuration."""
    blocks = BLOCK.findall(PAGE)
    assert blocks
    assert all(parse_settings(block.encode(), "docs/rules.md").rule for block in blocks)
