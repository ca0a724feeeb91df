"""The tables of `[policy]`: the action for each outcome, and for recipients with different decisions."""

from collections.abc import Mapping
from typing import Annotated

from miltscan.config import places, units
from miltscan.config.choices import CHOICE
from miltscan.config.table import Table
from miltscan.core.action import ActionName, Choice
from miltscan.core.split import RecipientMode

_Choice = Annotated[Choice, CHOICE]


class UnscannedSettings(Table):
    """`[policy.on_unscanned]`: a key for each `Limit`."""

    too_large: _Choice = Choice(ActionName.REJECT)
    """Action when the message is larger than limits.message_size."""
    timeout: _Choice = Choice(ActionName.TEMPFAIL)
    """Action when limits.scan_timeout has passed."""
    no_engine: _Choice = Choice(ActionName.TEMPFAIL)
    """Action when no engine is up."""
    limits: _Choice = Choice(ActionName.REJECT)
    """Action when the message exceeds a limit of the engine."""
    encrypted: _Choice = Choice(ActionName.ACCEPT)
    """Action when the engine finds encrypted content."""
    busy: _Choice = Choice(ActionName.TEMPFAIL)
    """Action when limits.queue_wait has passed."""
    engine_unable: _Choice = Choice(ActionName.TEMPFAIL)
    """Action when the engine reports a message as clean, but may not have been able to scan it."""
    allowed: _Choice = Choice(ActionName.ACCEPT)
    """Action when the engine stopped at a detection that the allow list names, and did not look at the rest."""
    malformed: _Choice = Choice(ActionName.REJECT)
    """Action when a mail program may show an attachment that cannot be decoded for the engine."""


class PolicySettings(Table):
    """`[policy]`: the action for each outcome, if no rule decides."""

    on_infected: _Choice = Choice(ActionName.REJECT)
    """Action when an engine detects a virus."""
    on_spam: _Choice = Choice(ActionName.ACCEPT)
    """Action when an anti-spam engine calls the message spam; accepted spam is marked by X-Spam-* headers."""
    on_error: _Choice = Choice(ActionName.TEMPFAIL)
    """Action when an engine fails."""
    recipients: Annotated[RecipientMode, units.choice(RecipientMode)] = RecipientMode.EACH
    """What is done if recipients of one message have different decisions: docs/recipients.md."""
    rule_files: tuple[Annotated[str, places.FILES], ...] = ()
    """Files of further tables [[rule]], which come after those of this file; a name may have the wildcard `*`."""
    access_map: Annotated[str, places.MAP] = "hash:/etc/mail/access"
    """sendmail's access map, in which rules look values up with access:TAG."""
    on_unscanned: UnscannedSettings = UnscannedSettings()

    def choices(self) -> Mapping[str, Choice]:
        """Each choice by its key below `policy`."""
        unscanned = {f"on_unscanned.{name}": choice for name, choice in self.on_unscanned}
        return {
            "on_infected": self.on_infected,
            "on_spam": self.on_spam,
            "on_error": self.on_error,
            **unscanned,
        }
