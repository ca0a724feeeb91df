"""The rules that are shipped to begin with: they are read, and decide nothing until they are enforced."""

from pathlib import Path

import pytest

from miltscan.config.load import parse_settings

FILES = sorted((Path(__file__).parents[3] / "deploy" / "policies").glob("*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_shipped_rules_are_read(file: Path) -> None:
    """Without a mistake; they only observe."""
    rules = parse_settings(file.read_bytes(), file.name).rule
    assert rules
    assert [one.name for one in rules if one.enforce] == []
