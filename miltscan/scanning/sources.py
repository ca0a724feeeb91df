"""The sources of values that rules name, in memory."""

from miltscan.core.lookup import Kind, Source
from miltscan.errors import ConfigError


class _Empty:
    def has(self, _kind: Kind, _value: str) -> bool:
        """It has nothing."""
        return False


class Sources:
    """The sources of one process."""

    def open(self, text: str) -> Source:
        """The source that `text` names. Raises ConfigError."""
        if text:
            raise ConfigError(f"{text}: not available yet")
        return _Empty()
