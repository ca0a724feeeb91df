"""Tables of keys: declared as dataclasses, read with every mistake."""

import pickle
from dataclasses import replace
from typing import Annotated

import pytest

from miltscan.config import units
from miltscan.config.settings import Settings
from miltscan.config.table import Table, key, keys, names, table
from miltscan.config.validation import validated
from miltscan.errors import ConfigError


@table
class Inner(Table):
    """A table within another."""

    wait: Annotated[float, units.duration("0s", "1m")] = key("5s", "time to wait")


@table
class Outer(Table):
    """Two keys of which the first has to be the smaller one."""

    low: Annotated[int, units.count(0, 9)] = key(1, "the lower end", restart=True)
    high: Annotated[int, units.count(0, 9)] = key(8, "the upper end")
    inner: Inner = Inner()

    def clash(self) -> str | None:
        """An interval has two ends."""
        return None if self.low <= self.high else "keys low, high: expected low first"


def test_what_is_not_given_has_its_default() -> None:
    """Each default is read as if one had written it."""
    assert validated(Outer, {}) == Outer() == Outer(low=1, high=8, inner=Inner(wait=5.0))
    assert validated(Outer, {"inner": {"wait": "1m"}, "low": 3}) == Outer(low=3, inner=Inner(wait=60.0))


def test_keys_come_with_dotted_names_and_values() -> None:
    """In their order, with what was declared of them."""
    found = [(name, one.default, one.meaning, one.restart, value) for name, one, value in keys(Outer(low=2))]
    assert found == [
        ("low", 1, "the lower end", True, 2),
        ("high", 8, "the upper end", False, 8),
        ("inner.wait", "5s", "time to wait", False, 5.0),
    ]
    assert [*names(Outer)] == ["low", "high", "inner", "inner.wait"]


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        ({"low": 10}, ["key low = 10: expected a whole number from 0 to 9"]),
        ({"low": 9}, ["keys low, high: expected low first"]),
        ({"inner": 3}, ["key inner = 3: expected a table [inner]"]),
        ({"inner": {"low": 1}}, ["key inner.low: unknown key, did you mean low?"]),
        (
            {"new": 1, "inner": {"wait": 1}, "high": "x"},
            [
                'key high = "x": expected a whole number from 0 to 9',
                'key inner.wait = 1: expected a duration such as "60s", from 0s to 1m',
                "key new: unknown key",
            ],
        ),
        ({"low": 9, "high": 10}, ["key high = 10: expected a whole number from 0 to 9"]),
    ],
)
def test_every_mistake_is_a_line(given: dict[str, object], lines: list[str]) -> None:
    """Keys are only compared once each of them is right."""
    with pytest.raises(ConfigError) as caught:
        validated(Outer, given)
    assert str(caught.value).splitlines() == lines


def test_a_clash_is_the_readers_business() -> None:
    """A reload that keeps some old keys may bring together what no file could: that must not end a service."""
    assert replace(Outer(), low=9).low == 9


def test_settings_go_through_a_pipe() -> None:
    """The supervisor hands them to its workers."""
    settings = validated(Settings, {"clamd": {"servers": ["unix:/a", "inet:1@b"]}})
    assert pickle.loads(pickle.dumps(settings)) == settings  # noqa: S301 - our own
