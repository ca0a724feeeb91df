"""docs/quarantine.md names the commands, options and filters of the program, and no others."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.cli import whole_program

PAGE = (Path(__file__).parents[3] / "docs" / "quarantine.md").read_text()
FILTERS = {"--area", "--sender", "--recipient", "--signature", "--state", "--since", "--until"}
EVERYWHERE = {"--config", "--help"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its titles."""
    section = PAGE[PAGE.index(f"\n{heading}\n") :]
    lines = re.findall(r"^\|.*\|$", section, re.MULTILINE)
    table = section[section.index(lines[0]) :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table[2:]]


def options(text: str) -> set[str]:
    """The options that a text names."""
    return set(re.findall(r"--[a-z]+", text))


def commands() -> Iterator[tuple[str, set[str]]]:
    """Each command with its options by their long names."""
    group = whole_program().commands["quarantine"]
    for name, command in group.commands.items():
        found = {max(one.opts, key=len) for one in command.params if one.param_type_name == "option"}
        yield name, found - EVERYWHERE


def documented() -> Iterator[tuple[str, set[str]]]:
    """Each command with its options, as the page has them."""
    for command, _, given in rows("## Commands"):
        name = re.match(r"`(\w+)", command)
        assert name
        yield name[1], options(given) | (FILTERS if "filters" in given else set())


def test_commands_and_options_are_those_of_the_program() -> None:
    """A command or an option that is added is on the page, too."""
    assert dict(documented()) == dict(commands())


def test_filters_are_those_of_the_program() -> None:
    """The table of filters has all of them."""
    filters = next(table for table in PAGE.split("\n\n") if table.startswith("| filter |"))
    assert {one for line in filters.splitlines()[2:] for one in options(line.split("|")[1])} == FILTERS


@pytest.mark.parametrize("line", sorted(set(re.findall(r"miltscan quarantine [^`|\n]+", PAGE))))
def test_each_example_is_a_command_of_the_program(line: str) -> None:
    """What the page shows can be typed."""
    name, *rest = line.removeprefix("miltscan quarantine ").split(" ")
    known = dict(commands())
    assert name in known
    assert options(" ".join(rest)) <= known[name]
