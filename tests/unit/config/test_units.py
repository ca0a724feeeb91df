"""Sizes, durations and the other kinds of values: text to value and back."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.config import units


@pytest.mark.parametrize(
    ("text", "value"),
    [("1MiB", 2**20), ("100MB", 10**8), ("512KiB", 2**19), ("2GiB", 2**31), ("7B", 7), ("1 MiB", 2**20), (4096, 4096)],
)
def test_a_size_has_a_unit_or_is_a_number_of_bytes(text: object, value: int) -> None:
    """Powers of 1024 with an i, of 1000 without."""
    assert value == units.parse_size(text)


@pytest.mark.parametrize(
    ("text", "value"), [("60s", 60.0), ("5m", 300.0), ("1h", 3600.0), ("500ms", 0.5), ("0s", 0.0), ("1 h", 3600.0)]
)
def test_a_duration_has_a_unit(text: str, value: float) -> None:
    """Durations become seconds."""
    assert value == units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "60", "s", "-1s", "1.5s", "60 parsecs", "1M", "٣s", "1s\n", 60, True, None, []])
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A number without a unit could be anything, so it is nothing."""
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_duration(text)


@pytest.mark.parametrize("text", ["", "1", "MiB", "1mib", "1 TiB", "-1MiB", 1.5, True, None])
def test_what_is_no_size_is_refused(text: object) -> None:
    """Neither fractions nor units that nobody needs."""
    with pytest.raises(ValueError, match=r"^$"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["1MiB", "100MB", "512KiB", "2GiB", "7B", "0B", "1500B"])
def test_a_size_is_shown_as_one_writes_it(text: str) -> None:
    """The largest unit that is exact."""
    assert text == units.show_size(units.parse_size(text))


@pytest.mark.parametrize("text", ["60s", "90s", "2m", "5m", "1h", "500ms", "0s", "1500ms"])
def test_a_duration_is_shown_as_one_writes_it(text: str) -> None:
    """The largest unit that is exact, but up to a minute in seconds."""
    assert text == units.show_duration(units.parse_duration(text))


@given(st.integers(0, 2**40))
def test_every_size_survives_showing(value: int) -> None:
    """Showing loses nothing."""
    assert value == units.parse_size(units.show_size(value))


@given(st.integers(0, 10**9))
def test_every_duration_survives_showing(milliseconds: int) -> None:
    """Showing loses nothing down to a millisecond."""
    assert milliseconds / 1000 == units.parse_duration(units.show_duration(milliseconds / 1000))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_survives_toml(text: str) -> None:
    """Any text is written so that TOML gives it back."""
    assert {"x": text} == tomllib.loads(f"x = {units.toml(text)}")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (units.MODE, "0660", 0o660),
        (units.NAME, "", ""),
        (units.FLAG, False, False),
        (units.size("1KiB", "1GiB"), "2MiB", 2**21),
        (units.duration("1s", "1h"), "90s", 90.0),
    ],
)
def test_a_kind_reads_and_shows(kind: units.Kind[object], text: object, value: object) -> None:
    """Each kind shows what it has read in the words that it reads."""
    assert value == kind.parse(text)
    assert text == kind.show(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (units.MODE, "rw-rw----"),
        (units.MODE, 660),
        (units.MODE, "1777"),
        (units.NAME, 5),
    ],
)
def test_a_kind_says_what_it_expected(kind: units.Kind[object], text: object) -> None:
    """Whatever is wrong, the error says what would be right."""
    with pytest.raises(ValueError, match=r"^expected "):
        kind.parse(text)


@pytest.mark.parametrize("value", ["true", 1, 0, None])
def test_a_flag_is_true_or_false(value: object) -> None:
    """And nothing that looks like it."""
    assert units.FLAG.parse(value=True) is True
    with pytest.raises(ValueError, match="expected true or false"):
        units.FLAG.parse(value)
