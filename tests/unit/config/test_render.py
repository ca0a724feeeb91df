"""What is derived from the models: the printed settings, the JSON Schema, and what a reload can change."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from docs.generator.configuration import EVERY_TABLE, PAGE, documentation
from miltscan.config.load import parse_settings
from miltscan.config.render import (
    fingerprint,
    keys,
    needs_restart,
    settings_fields,
    settings_schema,
    settings_toml,
    without_restart,
)
from miltscan.config.settings import Settings
from tests.unit.config.full import AREAS, ENGINES, FULL, RULES


def parsed(text: str) -> Settings:
    """The settings of a file."""
    return parse_settings(text.encode(), "f")


def test_every_key_can_be_set() -> None:
    """Each key of FULL differs from its default, and all keys are in it."""
    changed, defaults = keys(parsed(FULL)), keys(Settings())
    same = [str(key) for key, default in zip(changed, defaults, strict=True) if key.value == default.value]
    assert same == ["mime.read"]  # without it there is no archive; AREAS sets it
    assert all(key.meaning and key.expected for key in keys(parsed(ENGINES + RULES)))


@pytest.mark.parametrize("text", ["", FULL, ENGINES, AREAS, RULES])
def test_printed_settings_are_a_file_that_means_the_same(text: str) -> None:
    """TOML and JSON that `miltscan config` prints give the same settings again."""
    settings = parsed(text)
    assert settings == parsed(settings_toml(settings))
    assert settings == Settings.model_validate(settings_fields(settings))


def test_printed_keys_have_meaning_and_default() -> None:
    """A comment above each key explains it; a required key has no default."""
    lines = settings_toml(parsed(ENGINES)).splitlines()
    assert '# Engine type: "clamd"; required' in lines
    workers = "# Number of processes that serve the socket: a whole number from 1 to 64; default 1"
    assert f"{workers}; a change requires a restart" in lines
    assert [line for line in lines if line.startswith("[")].count("[[engine]]") == 2


def test_a_reload_names_what_needs_a_restart() -> None:
    """Sockets, processes and the exporter stay as they are; sizes and actions change."""
    named = needs_restart(Settings(), parsed(FULL))
    assert named == [
        "milter.socket",
        "milter.socket_mode",
        "milter.socket_group",
        "milter.workers",
        "quarantine.directory",
        "quarantine.index",
        "archive.digests",
        "verify.socket",
        "verify.workers",
        "probe.interval",
        "exporter.listen",
        "exporter.directory",
        "log.format",
        "tracing.endpoint",
        "tracing.addresses",
    ]
    assert needs_restart(Settings(), parsed(ENGINES)) == []


def test_a_reload_keeps_exactly_the_keys_that_need_a_restart() -> None:
    """The settings in effect after a reload have the old value of these keys and the new value of all others."""
    old, new = Settings(), parsed(FULL)
    kept = {str(key): key.value for key in keys(without_restart(old, new))}
    before, after = ({str(key): key.value for key in keys(one)} for one in (old, new))
    restart = needs_restart(old, new)
    assert kept == {name: before[name] if name in restart else after[name] for name in after}
    assert without_restart(old, parsed(ENGINES)).engines == parsed(ENGINES).engines


def test_a_fingerprint_tells_settings_apart() -> None:
    """Two files that mean the same have one fingerprint."""
    assert fingerprint(parsed("limits.scan_timeout = '60000ms'")) == fingerprint(Settings())
    assert fingerprint(parsed("[[engine]]\ntype = 'clamd'")) == fingerprint(Settings())
    assert fingerprint(parsed(ENGINES)) != fingerprint(Settings())
    assert re.fullmatch("[0-9a-f]{12}", fingerprint(Settings()))


def test_the_documentation_has_the_keys_of_the_code() -> None:
    """The table in docs/configuration.md is the one of the code: `python -m docs.generator.configuration`."""
    page = PAGE.read_text()
    assert page == documentation(page)


def test_the_examples_of_the_documentation_are_valid() -> None:
    """Each block of docs/configuration.md with a table is a configuration."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", PAGE.read_text(), re.MULTILINE)
    examples = [block for block in blocks if "[[" in block]
    assert [len(parsed(re.sub(r"^    ", "", block, flags=re.MULTILINE)).engines) for block in examples] == [2]


SCHEMA = settings_schema()


def described(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """Each key that the schema describes, by its dotted name."""
    for name, one in schema["properties"].items():
        inner = one.get("items", one)
        references = [inner, *inner.get("anyOf", []), *inner.get("oneOf", [])]
        tables = [each["$ref"].rpartition("/")[2] for each in references if "$ref" in each]
        for table in tables:
            yield from described(SCHEMA["$defs"][table], f"{path}{name}.")
        if "$ref" in (named := one.get("additionalProperties", {})):
            tables = [named["$ref"].rpartition("/")[2]]
            yield from described(SCHEMA["$defs"][tables[0]], f"{path}{name}.NAME.")
        if not tables:
            yield path + name, one


def test_the_schema_describes_every_key() -> None:
    """An editor shows the meaning and the default of each key, and refuses unknown ones."""
    found = {name: (one["description"].removesuffix("."), one.get("default")) for name, one in described(SCHEMA)}
    expected = {
        re.sub(r"\[\d+\]", "", str(key)): (key.meaning, json.loads(key.default) if key.default else None)
        for key in keys(EVERY_TABLE)
    }
    assert found == expected
    assert all(table["additionalProperties"] is False for table in [SCHEMA, *SCHEMA["$defs"].values()])
    assert SCHEMA["$defs"]["ClamdEngineSettings"]["required"] == ["type"]
    assert [name for name, one in described(SCHEMA) if "title" in one] == []  # an editor would show it


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("limits.scan_timeout", "60s", "60"),
        ("limits.message_size", "1MiB", "1TiB"),
        ("clamd.canary_interval", "500ms", "1w"),
        ("milter.socket", "inet:1@b", "/run/a"),
        ("milter.socket_mode", "0660", "rw"),
        ("engine.name", "a-1", "A"),
        ("policy.on_error", "quarantine:a-1", "reject:a"),
        ("policy.on_infected", "discard", "quarantine:A"),
        ("quarantine.area.NAME.max_age", "30d", "30"),
        ("engine.timeout", "1m", "1"),
        ("engine.type", "clamd", "spamd"),
        ("verify.socket", "", "a"),
        ("spool.directory", "/a", "a"),
        ("keys.file", "", "a"),
        ("log.level", "info", "loud"),
    ],
)
def test_the_schema_has_the_form_of_values(key: str, good: str, bad: str) -> None:
    """An editor marks a text that is not in the notation of its key."""

    def accepts(one: Any, text: str) -> bool:  # noqa: ANN401 - JSON
        if "anyOf" in one:
            return any(accepts(each, text) for each in one["anyOf"])
        if "enum" in one or "const" in one:
            return text in one.get("enum", [one.get("const")])
        return one["type"] == "string" and re.search(one.get("pattern", ""), text) is not None

    schema = next(one for name, one in described(SCHEMA) if name == key)
    assert (accepts(schema, good), accepts(schema, bad)) == (True, False)
