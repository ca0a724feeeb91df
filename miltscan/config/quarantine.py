"""The tables of the quarantine: the store and its areas, the way out of it, and the mails about it."""

import re
from collections.abc import Iterator, Mapping
from datetime import time
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from miltscan.config import places, units
from miltscan.config.table import RESTART, Table
from miltscan.core.action import DEFAULT_AREA, REFUSED_AREA
from miltscan.core.address import InetAddress

_PUBLIC_KEY = re.compile("age1[02-9ac-hj-np-z]{58}")  # Bech32, age-encryption.org/v1


class Audience(StrEnum):
    """Who is told about messages of an area."""

    NONE = "none"
    RECIPIENTS = "recipients"
    ADMINISTRATORS = "administrators"
    BOTH = "both"


_Audience = Annotated[Audience, units.choice(Audience)]


def _public_key(value: object) -> str:
    if not _PUBLIC_KEY.fullmatch(units.string(value)):
        raise ValueError
    return units.string(value)


def _url(value: object) -> str:
    text = units.string(value)
    if not text.isprintable() or not (text == "" or re.match(r"(sqlite|postgresql)(\+[a-z0-9]+)?://", text)):
        raise ValueError
    return text


def _clock(value: object) -> time:
    if not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", units.string(value)):
        raise ValueError
    return time.fromisoformat(units.string(value))


_PUBLIC = units.Notation("an age public key (age1...)", _public_key, str, {"type": "string", "pattern": "^age1"})
_URL = units.Notation('a URL such as "postgresql+psycopg:///miltscan", or "" for SQLite', _url, units.without_password)
_CLOCK = units.Notation('a time of day such as "06:00"', _clock, lambda one: f"{one:%H:%M}")


class AreaSettings(Table):
    """`[quarantine.area.NAME]`: how long messages are kept, and who is told; `default` and `refused` always exist."""

    max_age: Annotated[float, units.duration("1h", "3650d")] = 30 * 86400.0
    """Age at which a message is deleted."""
    max_entries: Annotated[int, units.count(0, 10**8)] = 0
    """Number of messages above which the oldest are deleted; 0 for no limit."""
    max_size: Annotated[int, units.size("0B", "100000GiB")] = 0
    """Size of all messages on disk above which the oldest are deleted; 0B for no limit."""
    compress: Annotated[bool, units.FLAG] = False
    """Whether messages are compressed (zstd)."""
    encrypt_to: tuple[Annotated[str, _PUBLIC], ...] = ()
    """Public keys to which messages are encrypted; whoever has one of their private keys can read them."""
    release_clean: Annotated[bool, units.FLAG] = False
    """Whether a message is released by itself when a later scan no longer detects anything."""
    notice: _Audience = Audience.NONE
    """Who receives a mail for each message."""
    summary: _Audience = Audience.NONE
    """Who receives a mail each day that lists the messages."""


class QuarantineSettings(Table):
    """`[quarantine]`: the store of messages that are kept."""

    directory: Annotated[str, places.FOLDER, RESTART] = "/var/lib/miltscan/quarantine"
    """Folder of the messages."""
    index: Annotated[str, _URL, RESTART] = ""
    """SQLAlchemy URL of the index; SQLite is in the folder. No output of miltscan shows its password."""
    identity: Annotated[str, places.FILE] = ""
    """File of private keys (age identities), with which the service reads messages of areas with encrypt_to."""
    rescan: Annotated[bool, units.FLAG] = True
    """Whether messages are scanned again after an update of the signatures."""
    area: dict[str, AreaSettings] = Field(default_factory=dict)
    """Areas by name."""

    @property
    def areas(self) -> Mapping[str, AreaSettings]:
        """All areas; `default` and `refused` exist without a table."""
        return {DEFAULT_AREA: AreaSettings(), REFUSED_AREA: AreaSettings(), **self.area}

    def conflicts(self) -> Iterator[str]:
        """Yield a line for each name that cannot be one of an area, and for a key without use."""
        for name in self.area:
            try:
                units.LABEL.read(name)
            except ValueError:
                yield f"quarantine.area.{units.toml(name)}: expected a name of {units.LABEL.expected}"


class ArchiveSettings(Table):
    """`[archive]`: what is known of accepted mail when a part of it is detected later: docs/archive.md."""

    digests: Annotated[float, units.duration("0s", "90d"), RESTART] = 0.0
    """Time for which the digests of the parts of accepted mail are kept with its envelope; 0s for none."""
    max_size: Annotated[int, units.size("1MiB", "1000GiB")] = 4 * 2**30
    """Size on disk above which the oldest days are removed."""


class DeliverySettings(Table):
    """`[delivery]`: the delivery sendmail, which takes releases, notices and summaries."""

    server: Annotated[InetAddress, places.INET] = InetAddress("127.0.0.1", 19000)
    """Address of the delivery sendmail."""
    timeout: Annotated[float, units.duration("1s", "10m")] = 60.0
    """Time limit for each reply of the server."""


class NoticeSettings(Table):
    """`[notice]`: the mails about the quarantine."""

    administrators: tuple[Annotated[str, places.MAILBOX], ...] = ()
    """Addresses of the administrators."""
    sender: Annotated[str, places.NO_MAILBOX] = ""
    """Address in From:; an empty one means postmaster at this host. The envelope sender is always empty."""
    summary_at: Annotated[time, _CLOCK] = time(6)
    """Time of day, in the host's time zone, at which summaries are sent."""
    max_per_hour: Annotated[int, units.count(0, 100_000)] = 100
    """Largest number of notices in an hour; the summary lists the messages of the others."""
    templates: Annotated[str, places.FOLDER_OR_NONE] = ""
    """Folder with the site's own templates."""
