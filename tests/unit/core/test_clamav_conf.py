"""The syntax of ClamAV's configuration files."""

import pytest

from miltscan.core.clamav_conf import is_on, parse_clamav_size, read_options


def test_options_have_all_their_values() -> None:
    """Names are case sensitive, comments are left out, and quotes around a value are removed."""
    text = '# Comment 1\n  LocalNet 192.0.2.1\nLocalNet\t"local net"\nlocalnet 1\nExample\n'
    assert read_options(text) == {"LocalNet": ["192.0.2.1", "local net"], "localnet": ["1"], "Example": [""]}


def test_sizes_have_units_of_1024() -> None:
    """A size is a number of bytes, or has the unit K, M or G in either case."""
    sizes = {"0": 0, "100": 100, "50000K": 51_200_000, "25m": 25 * 2**20, "1G": 2**30, "9223372036854775807": 2**63 - 1}
    assert {text: parse_clamav_size(text) for text in sizes} == sizes


@pytest.mark.parametrize("text", ["", "M", "-1", "1.5M", "30x", "٣M"])
def test_other_sizes_are_errors(text: str) -> None:
    """Any other text is an error that names a correct size."""
    with pytest.raises(ValueError, match="expected a size such as 25M"):
        parse_clamav_size(text)


def test_switches_are_yes_or_no() -> None:
    """A switch has several words for on and off; any other word is an error."""
    assert [is_on(word) for word in ("yes", "TRUE", "1", "no", "False", "0", "off", "")] == [True] * 3 + [False] * 5
    with pytest.raises(ValueError, match="expected yes or no"):
        is_on("maybe")
