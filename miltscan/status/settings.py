"""The configuration in force as the page shows it: changed settings first, secrets hidden. Pure."""

import re

from miltscan.config.render import keys
from miltscan.config.settings import Settings
from miltscan.core.text import readable
from miltscan.status.model import Setting

_SECRET = re.compile(r"(password|passwd|secret|token|credential)(?!.*_file$)", re.IGNORECASE)
_EMPTY = {'""', "[]"}
_HIDDEN = "(set, not shown)"


def shown(settings: Settings) -> list[Setting]:
    """Return every key, the changed ones first, each group in the order of the configuration."""
    rows = [
        Setting(str(key), value_of(str(key), key.value), key.default, key.value != key.default, key.meaning)
        for key in keys(settings)
    ]
    return sorted(rows, key=lambda row: not row.changed)


def value_of(key: str, value: str) -> str:
    """Return the value (TOML) that the page may show; of a secret it shows only that it is set."""
    if _SECRET.search(key) and value not in _EMPTY:
        return _HIDDEN
    return readable(value, 500)
