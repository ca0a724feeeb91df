"""What a message leaves in the quarantine: its entry, made from its report, and the store of the settings."""

import time
from collections.abc import Callable
from pathlib import Path

from miltscan.config.settings import Settings
from miltscan.core.header_text import header_text
from miltscan.core.message import PREFACE, direction
from miltscan.core.policy import SPAM_RULE
from miltscan.core.report import Report
from miltscan.core.verdict import Outcome, Verdict
from miltscan.errors import StartError, StoreError
from miltscan.quarantine.encoder import Encoder
from miltscan.quarantine.entry import Entry
from miltscan.quarantine.files import Files
from miltscan.quarantine.retention import Retention
from miltscan.scanning.storing import Keep

Signatures = Callable[[str, str], int]
"""The version of the signature database that the server of an engine uses."""


def keep_for(settings: Settings, signatures: Signatures) -> Keep:
    """What stores a message in an area of these settings. It opens no database: the keeper adds the index rows."""
    files, encoders = Files(Path(settings.quarantine.directory)), encoders_for(settings)

    def keep(report: Report, area: str, content: int) -> str:
        version = signatures(report.verdict.engine, report.verdict.server)
        return files.put(entry_for(report, area, time.time(), version), content, len(PREFACE), encoders[area]).id

    return keep


def encoders_for(settings: Settings) -> dict[str, Encoder]:
    """How the messages of each area are encoded."""
    areas = settings.quarantine.areas
    return {name: Encoder(area.compress, area.encrypt_to) for name, area in areas.items()}


def retentions(settings: Settings) -> dict[str, Retention]:
    """The bounds of each area."""
    areas = settings.quarantine.areas
    return {name: Retention(area.max_age, area.max_entries, area.max_size) for name, area in areas.items()}


def try_store(settings: Settings) -> None:
    """Make the folder, and import what the areas need, if a message can get there: StartError if this fails.

    Better now than at the first message, which its client would have to send again and again.
    """
    if not settings.quarantines:
        return
    try:
        Files(Path(settings.quarantine.directory)).prepare()
        for encoder in encoders_for(settings).values():
            encoder.prepare()
    except StoreError as error:
        raise StartError(f"{error}. quarantine.directory must be a folder of miltscan's user") from error


def _deciding(report: Report) -> Verdict:
    """The verdict for which the message is kept: of what was not scanned and is spam, policy.on_spam may decide."""
    if report.decision.rule != SPAM_RULE:
        return report.verdict
    return next((one for one, _ in report.verdicts if one.outcome is Outcome.SPAM), report.verdict)


def entry_for(report: Report, area: str, now: float, signatures: int) -> Entry:
    """The entry of a message that is kept in `area` at `now` (epoch, seconds)."""
    message, verdict = report.message, _deciding(report)
    return Entry(
        time=now,
        area=area,
        action=report.decision.action.name,
        queue_id=message.queue_id,
        message_id=message.message_id,
        sender=message.envelope.sender,
        recipients=message.envelope.recipients,
        client_name=message.client.name,
        client_address=message.client.address,
        direction=direction(message.client, message.envelope),
        outcome=verdict.outcome,
        reason=verdict.reason,
        signature=verdict.signature,
        engine=verdict.engine,
        rule=report.decision.rule,
        signatures=signatures,
        subject=header_text(message.headers, b"subject"),
        author=header_text(message.headers, b"from"),
        receipt=report.receipt,
    )
