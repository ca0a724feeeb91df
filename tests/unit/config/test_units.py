"""Sizes, durations and the other notations: text to value and back."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config import units
from miltscan.core.action import ActionName


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1MiB", 2**20),
        ("100MB", 10**8),
        ("512KiB", 2**19),
        ("2GiB", 2**31),
        ("7B", 7),
        ("1 MiB", 2**20),
        ("2GB", 2 * 10**9),
        ("3KB", 3000),
        (4096, 4096),
    ],
)
def test_a_size_has_a_unit_or_is_a_number_of_bytes(text: object, value: int) -> None:
    """A unit with an i is a power of 1024, one without a power of 1000."""
    assert value == units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "value"), [("60s", 60.0), ("5m", 300.0), ("1h", 3600.0), ("500ms", 0.5), ("0s", 0.0), ("1 h", 3600.0)]
)
def test_a_duration_has_a_unit(text: str, value: float) -> None:
    """A duration becomes seconds."""
    assert value == units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "60", "s", "-1s", "1.5s", "60 parsecs", "1M", "٣s", "1s\n", 60, True, None, []])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A duration without a known unit is an error."""
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "1", "MiB", "1mib", "1 TiB", "-1MiB", 1.5, True, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    """A size has no fraction and no other units."""
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["1MiB", "100MB", "512KiB", "2GiB", "7B", "0B", "1500B"])
def test_a_size_is_shown_as_one_writes_it(text: str) -> None:
    """A size is shown in the largest unit that is exact."""
    assert text == units.show_size(units.parse_size(text))


@pytest.mark.parametrize("text", ["1s", "60s", "61s", "90s", "2m", "5m", "1h", "500ms", "0s", "1500ms"])
def test_a_duration_is_shown_as_one_writes_it(text: str) -> None:
    """A duration is shown in the largest unit that is exact, but up to 60 s in seconds."""
    assert text == units.show_duration(units.parse_duration(text))


@given(st.integers(0, 2**40))
def test_every_size_survives_showing(value: int) -> None:
    """A shown size reads as the same number of bytes."""
    assert value == units.parse_size(units.show_size(value))


@given(st.integers(0, 10**9))
def test_every_duration_survives_showing(milliseconds: int) -> None:
    """A shown duration reads as the same number of milliseconds."""
    assert milliseconds / 1000 == units.parse_duration(units.show_duration(milliseconds / 1000))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_survives_toml(text: str) -> None:
    """TOML reads every text as it was written."""
    assert {"x": text} == tomllib.loads(f"x = {units.toml(text)}")


@pytest.mark.parametrize(
    ("notation", "text", "value"),
    [
        (units.MODE, "0660", 0o660),
        (units.LABEL, "clamd-2", "clamd-2"),
        (units.optional(units.duration("1s", "1h")), "90s", 90.0),
        (units.optional(units.duration("1s", "1h")), "", None),
        (units.NAME, "", ""),
        (units.FLAG, False, False),
        (units.size("1KiB", "1GiB"), "2MiB", 2**21),
        (units.duration("1s", "1h"), "90s", 90.0),
        (units.count(1, 64), 64, 64),
        (units.choice(ActionName), "hold", ActionName.HOLD),
    ],
)
def test_a_notation_reads_and_shows(notation: units.Notation[object], text: object, value: object) -> None:
    """Each notation shows a value in the form that it reads."""
    assert value == notation.parse(text)
    assert text == notation.show(value)


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        (units.MODE, "rw-rw----"),
        (units.MODE, 660),
        (units.MODE, "1777"),
        (units.NAME, 5),
        (units.LABEL, ""),
        (units.count(1, 64), "3"),
        (units.count(1, 64), True),
        (units.count(1, 64), 65),
        (units.choice(ActionName), "ignore"),
        (units.LABEL, "x" * 21),
        (units.LABEL, "Clamd"),
        (units.optional(units.duration("1s", "1h")), "2h"),
        (units.optional(units.duration("1s", "1h")), 5),
    ],
)
def test_a_notation_names_what_it_expects(notation: units.Notation[object], text: object) -> None:
    """The error text of every wrong value names what is expected."""
    with pytest.raises(ValueError, match=r"^expected "):
        notation.parse(text)


@pytest.mark.parametrize("value", ["true", 1, 0, None])
def test_a_flag_is_true_or_false(value: object) -> None:
    """A flag takes no value that merely looks like true or false."""
    assert units.FLAG.parse(value=True) is True
    with pytest.raises(ValueError, match="expected true or false"):
        units.FLAG.parse(value)
