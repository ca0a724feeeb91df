"""Every configuration that was valid for version 0.1 keeps its meaning.

tests/corpus/configurations holds such files, from documentation, tests and `miltscan import` of 0.1. Next to each
are the values that 0.1 read in it (bytes, seconds, texts), as far as they differ from those of empty.toml.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.action import Choice

CORPUS = Path(__file__).parents[2] / "corpus" / "configurations"
DEFAULTS: dict[str, Any] = json.loads((CORPUS / "empty.json").read_text())


def plain(value: object) -> object:
    """A value as JSON holds it."""
    if isinstance(value, tuple) and not isinstance(value, Choice):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def value_of(settings: Settings, key: str) -> object:
    """The value that the program uses for a key of 0.1; those of clamd are now the only engine's."""
    table, _, name = key.rpartition(".")
    found: Any = settings
    for part in table.split("."):
        found = found.engines[0] if part == "clamd" else getattr(found, part)
    return plain(getattr(found, name))


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.toml")), ids=lambda file: file.stem)
def test_a_configuration_of_the_first_version_keeps_its_meaning(file: Path) -> None:
    """Each key has the value that 0.1 read, and clamd is the only engine and required."""
    settings = parse_settings(file.read_bytes(), file.name)
    meant = DEFAULTS | json.loads(file.with_suffix(".json").read_text())
    assert {key: value_of(settings, key) for key in meant} == meant
    engines = [
        (one.type, one.name, one.required, one.on_error, one.timeout, one.skip_above) for one in settings.engines
    ]
    assert engines == [("clamd", "clamd", True, None, None, None)]
