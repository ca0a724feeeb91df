"""The tables of engines: `[clamd]` and one model for each type of `[[engine]]`."""

from typing import Annotated, Literal

from miltscan.config import places, units
from miltscan.config.choices import CHOICE
from miltscan.config.table import Table
from miltscan.core.action import Choice
from miltscan.core.address import UnixAddress


class ClamdSettings(Table):
    """`[clamd]`: short for one `[[engine]]` of type clamd, which is required and has this name."""

    servers: places.Addresses = (UnixAddress("/run/clamav/clamd.ctl"),)
    """clamd servers, used in rotation; when one fails, the next one is used."""
    canary_interval: Annotated[float, units.duration("1s", "1h")] = 10.0
    """Interval of the self-test, in which each server must detect a test signature."""


class EngineTable(Table):
    """The keys of every `[[engine]]` table; a type has its own `type`, and defaults for the keys without one here."""

    type: str
    """Engine type."""
    name: Annotated[str, units.LABEL]
    """Unique name in the log and in metrics."""
    required: Annotated[bool, units.FLAG]
    """Whether mail waits while this engine is down; an optional engine stops no mail unless its on_error does."""
    on_error: Annotated[Choice | None, units.optional(CHOICE)] = None
    """Action when this engine fails; empty means policy.on_error, or accept if it is not required."""
    timeout: Annotated[float | None, units.optional(units.duration("1s", "4m"))] = None
    """Time limit for this engine to scan a message, within limits.scan_timeout."""
    skip_above: Annotated[int | None, units.optional(units.size("1KiB", "2GB"))] = None
    """Largest size of a message that this engine scans."""
    servers: places.Addresses
    """Servers, used in rotation; when one fails, the next one is used."""
    canary_interval: Annotated[float, units.duration("1s", "1h")] = 10.0
    """Interval of the self-test of each server."""


class ClamdEngineSettings(ClamdSettings, EngineTable):
    """`[[engine]]` with `type = "clamd"`."""

    type: Literal["clamd"]
    """Engine type."""
    name: Annotated[str, units.LABEL] = "clamd"
    """Unique name in the log and in metrics."""
    required: Annotated[bool, units.FLAG] = True
    """Whether mail waits while this engine is down; an optional engine stops no mail unless its on_error does."""


EngineSettings = ClamdEngineSettings
"""One of the engine types; with a second one: `Annotated[A | B, Field(discriminator="type")]`."""
