"""The text of a key file: keys in their order, and each mistake in a line that shows no key."""

import pytest

from miltscan.core.keys import Key, parse_keys, with_new
from miltscan.errors import ConfigError

HEX = "0f" * 32
ONE = Key("one", b"\x0f" * 32)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (f"one {HEX}\n", ["one"]),
        (f"one {HEX}", ["one"]),
        (f"\n# the new one\n  new\t{HEX.upper()} \r\n#old {HEX}\nold {HEX}\n", ["new", "old"]),
        (f"2026-11-22.a_b {HEX}{HEX}\n", ["2026-11-22.a_b"]),
    ],
)
def test_keys_in_their_order(text: str, ids: list[str]) -> None:
    """The first one signs; blanks, comments and empty lines do not count."""
    assert [key.id for key in parse_keys(text, "f")] == ids


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["f: contains no key. Run: miltscan keys new"]),
        ("# nothing\n", ["f: contains no key. Run: miltscan keys new"]),
        (f"one {HEX[2:]}", ["f: line 1: key one: expected 64 to 128 hexadecimal digits"]),
        (f"one {HEX}{HEX}00", ["f: line 1: key one: expected 64 to 128 hexadecimal digits"]),
        (f"one {HEX}0", ["f: line 1: key one: expected 64 to 128 hexadecimal digits"]),
        (f"one {'0g' * 32}", ["f: line 1: key one: expected 64 to 128 hexadecimal digits"]),
        (f"one {HEX}\none {HEX}", ["f: line 2: key one: expected each id once"]),
        (f"one {HEX}\n\n# x\none {HEX}", ["f: line 4: key one: expected each id once"]),
        *(
            (text, ["f: line 1: expected an id of at most 32 letters, digits, dots, dashes or underscores, and a key"])
            for text in (HEX, "one", f"one {HEX} more", f"o;e {HEX}", f"{'x' * 33} {HEX}", f"\u0661 {HEX}")
        ),
    ],
)
def test_a_mistake_is_one_line(text: str, lines: list[str]) -> None:
    """It names the line and what was expected."""
    with pytest.raises(ConfigError) as caught:
        parse_keys(text, "f")
    assert str(caught.value).splitlines() == lines


def test_all_mistakes_come_at_once_and_show_no_key() -> None:
    """A reader of the log must not be able to sign."""
    with pytest.raises(ConfigError) as caught:
        parse_keys(f"{HEX}\none {HEX}x\n", "f")
    assert len(str(caught.value).splitlines()) == 2
    assert "0f0f" not in str(caught.value)


def test_a_key_is_not_shown() -> None:
    """Not in a log line, not in a traceback."""
    assert repr(ONE) == "Key(id='one')"


@pytest.mark.parametrize("before", ["", f"old {HEX}\n", f"# ours\nold {HEX}"])
def test_a_new_key_stands_first(before: str) -> None:
    """What stood there stays, comments too."""
    after = with_new(before, ONE)
    assert after.endswith(before)
    assert [key.id for key in parse_keys(after, "f")] == ["one", "old"][: 1 + bool(before)]
    assert parse_keys(after, "f")[0] == ONE
