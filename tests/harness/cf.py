"""What stands in a generated sendmail .cf file; knows nothing of what should stand there."""

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Mailer:
    """An M line: program (P=), flags (F=) and arguments (A=)."""

    program: str
    flags: str
    arguments: str


def mailers(configuration: Path) -> dict[str, Mailer]:
    """Each mailer by its name; of two with one name the last, as sendmail has it."""
    pattern = r"^M(\w+),.*?\bP=([^,]+), F=(\S+), .*?\bA=(.*?)$"
    found = re.findall(pattern, configuration.read_text(), re.MULTILINE | re.DOTALL)
    return {name: Mailer(*values) for name, *values in found}


def options(configuration: Path, name: str) -> list[str]:
    """The values of option `name`, one a line that sets it."""
    return re.findall(rf"^O {re.escape(name)}=(.*)$", configuration.read_text(), re.MULTILINE)


def filters(configuration: Path) -> list[str]:
    """The milters that are defined, whole X lines."""
    return re.findall(r"^X.*$", configuration.read_text(), re.MULTILINE)
