"""The tables of engines: `[clamd]` and one model for each type of `[[engine]]`."""

from typing import Annotated, Literal

from pydantic import Field

from miltscan.config import places, units
from miltscan.config.choices import CHOICE
from miltscan.config.table import Table
from miltscan.core.action import Choice
from miltscan.core.address import InetAddress, UnixAddress


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


class AntispamEngineTable(EngineTable):
    """The keys of every anti-spam engine: it is asked only for mail that the engines before it let pass."""

    required: Annotated[bool, units.FLAG] = False
    """Whether mail waits while this engine is down; an optional engine stops no mail unless its on_error does."""
    timeout: Annotated[float | None, units.optional(units.duration("1s", "4m"))] = 20.0
    """Time limit for this engine to scan a message, within limits.scan_timeout."""
    skip_above: Annotated[int | None, units.optional(units.size("1KiB", "2GB"))] = 2**20
    """Largest size of a message that this engine scans."""
    canary_interval: Annotated[float, units.duration("1s", "1h")] = 60.0
    """Interval of the self-test of each server, which is a message with the test text GTUBE."""
    concurrent_scans: Annotated[int, units.count(1, 4096)]
    """Number of messages that all workers have this engine scan at the same time."""
    skip_authenticated: Annotated[bool, units.FLAG] = False
    """Whether to leave out mail of authenticated users."""
    skip_internal: Annotated[bool, units.FLAG] = False
    """Whether to leave out mail of private addresses to local recipients."""


class RspamdEngineSettings(AntispamEngineTable):
    """`[[engine]]` with `type = "rspamd"`."""

    type: Literal["rspamd"]
    """Engine type."""
    name: Annotated[str, units.LABEL] = "rspamd"
    """Unique name in the log and in metrics."""
    servers: places.Addresses = (InetAddress("127.0.0.1", 11333),)
    """rspamd's normal workers, used in rotation; when one fails, the next one is used."""
    concurrent_scans: Annotated[int, units.count(1, 4096)] = 20
    """Number of messages that all workers have this engine scan at the same time."""
    edit_headers: Annotated[bool, units.FLAG] = False
    """Whether to add and remove the headers that rspamd proposes, other than Authentication-Results."""
    authentication_results: Annotated[bool, units.FLAG] = False
    """Whether to replace Authentication-Results headers as rspamd proposes."""
    reply_text: Annotated[bool, units.FLAG] = False
    """Whether the text of a rejection of spam is the one that rspamd proposes."""


class SpamdEngineSettings(AntispamEngineTable):
    """`[[engine]]` with `type = "spamd"`."""

    type: Literal["spamd"]
    """Engine type."""
    name: Annotated[str, units.LABEL] = "spamd"
    """Unique name in the log and in metrics."""
    servers: places.Addresses = (InetAddress("127.0.0.1", 783),)
    """spamd servers, used in rotation; when one fails, the next one is used."""
    concurrent_scans: Annotated[int, units.count(1, 4096)] = 5
    """Number of messages that all workers have this engine scan at the same time; at most spamd's --max-children."""


EngineSettings = Annotated[
    ClamdEngineSettings | RspamdEngineSettings | SpamdEngineSettings, Field(discriminator="type")
]
"""One of the engine types."""
