"""The syntax of ClamAV's configuration files, clamd.conf(5) and clamav-milter.conf(5). It opens no file.

The rules are those of ClamAV 1.4, as its own `clamconf` shows them: option names are case sensitive, the first of two
values counts where an option takes one, and a value may stand in double quotes.
"""

import re

OFF = frozenset({"no", "false", "0", "off", ""})
ON = frozenset({"yes", "true", "1"})
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def read_options(text: str) -> dict[str, list[str]]:
    """The values of each option, in order; an option without a value has the empty text."""
    found: dict[str, list[str]] = {}
    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("#"):
            name, *rest = line.split(None, 1)
            found.setdefault(name, []).append("".join(rest).strip('"'))
    return found


def parse_clamav_size(text: str) -> int:
    """Bytes of a size with the units K, M or G (powers of 1024). Raises ValueError fit for a user."""
    found = re.fullmatch(r"([0-9]{1,19})([kmg]?)b?", text.lower(), re.ASCII)
    if found is None:
        raise ValueError("expected a size such as 25M")
    return int(found[1]) * _UNITS[found[2]]


def clamav_number(text: str) -> int:
    """A number or a size; 0, which means no limit, for a value with which clamd does not start."""
    try:
        return parse_clamav_size(text)
    except ValueError:
        return 0


def is_on(value: str) -> bool:
    """Whether a switch is on. Raises ValueError fit for a user."""
    if value.lower() not in OFF | ON:
        raise ValueError("expected yes or no")
    return value.lower() in ON
