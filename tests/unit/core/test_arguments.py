"""Options in the command line of another program."""

from miltscan.core.arguments import option_value


def test_a_value_follows_its_option_or_is_part_of_it() -> None:
    """The value may be the next argument, or follow in the same one with or without an equals sign."""
    for line in ("x -bs -Cf", "x -C f -bs", "x --file=f", "x --file f -C g"):
        assert option_value(line.split(), "-C", "--file") == "f", line
    assert [option_value(line.split(), "-C") for line in ("", "x -bs", "x -C")] == ["", "", ""]
