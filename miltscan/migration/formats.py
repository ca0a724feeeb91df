"""The format of a file, by its name or its text, and the draft that is made from it. It opens no file."""

import re
from collections.abc import Callable

from miltscan.errors import ConfigError
from miltscan.migration import clamav_milter, interscan
from miltscan.migration.draft import Draft

FORMATS: dict[str, Callable[[str], Draft]] = {
    "clamav-milter.conf": clamav_milter.draft_clamav_milter,
    "imss.ini": interscan.draft_imss,
    "intscan.ini": interscan.draft_intscan,
}
_SIGNS = {
    "clamav-milter.conf": r"^\s*(?:MilterSocket|ClamdSocket)\s",
    "imss.ini": r"(?i)^\s*(?:smtp_allow_client_ip|smtp_greeting_msg|downstream_smtp_server\w*)\s*=",
    "intscan.ini": r"(?i)^\s*(?:original|svcport)\s*=",
}
"""A pattern that only files of this format match, tried in this order."""


def recognise(name: str, text: str) -> str:
    """The format of the file `name`. Raises ConfigError if neither its name nor its text is known."""
    named = [known for known in FORMATS if known in name]
    signed = [known for known, sign in _SIGNS.items() if re.search(sign, text, re.MULTILINE)]
    if not named + signed:
        raise ConfigError(f"{name}: unknown format; expected {', '.join(FORMATS)}; name it with --format")
    return [*named, *signed][0]


def draft(kind: str, text: str) -> Draft:
    """The draft of `text`. Raises ConfigError for an unknown format."""
    if kind not in FORMATS:
        raise ConfigError(f"--format {kind}: expected one of {', '.join(FORMATS)}")
    return FORMATS[kind](text)
