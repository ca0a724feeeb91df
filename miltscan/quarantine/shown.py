"""What the templates of notices and summaries receive: values that are fit for a mail, whoever wrote them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from miltscan.core.archived import AcceptedMail, Detected
from miltscan.core.verdict import Limit, Outcome
from miltscan.quarantine.entry import Entry, Standing, State
from miltscan.quarantine.mailtext import mail_address, shown_size, shown_text

_LISTED_RECIPIENTS = 10
_LISTED_DELIVERIES = 50
_LIMITS: Mapping[object, str] = {
    Limit.TOO_LARGE: "too large to be scanned",
    Limit.TIMEOUT: "the scan took too long",
    Limit.NO_ENGINE: "no virus scanner was available",
    Limit.LIMITS: "it exceeds a limit of the virus scanner",
    Limit.ENCRYPTED: "its content is encrypted",
    Limit.BUSY: "the virus scanner was overloaded",
    Limit.ENGINE_UNABLE: "the virus scanner was unable to",
    Limit.ALLOWED: "the virus scanner stopped at something that is allowed",
    Limit.MALFORMED: "the virus scanner cannot decode an attachment",
}
_STATES = {
    State.STORED: "in quarantine",
    State.CLEARED: "in quarantine, but a later scan found nothing",
    State.RELEASING: "being released",
    State.RELEASED: "released",
    State.DELETED: "deleted",
}
_KEPT = (State.STORED, State.CLEARED)


class Shown(NamedTuple):
    """What a mail shows of one message. `until` is the day on which it is deleted, empty if it is not kept."""

    id: str
    time: str
    author: str
    sender: str
    subject: str
    reason: str
    size: str
    state: str
    until: str
    area: str
    recipients: tuple[str, ...]
    more_recipients: int
    client: str
    queue_id: str


class Notice(NamedTuple):
    """What the templates of a notice have: one message, for an administrator or for a recipient."""

    host: str
    administrator: bool
    zone: str
    message: Shown


class AreaShown(NamedTuple):
    """An area in the summary of an administrator: what was stored in the time of the summary, and all that it keeps."""

    name: str
    stored: int
    kept: int
    size: str
    oldest: str


class Summary(NamedTuple):
    """What the templates of a summary have: `messages` are the newest of `total`; `areas` are for administrators."""

    host: str
    administrator: bool
    since: str
    until: str
    zone: str
    total: int
    messages: tuple[Shown, ...]
    areas: tuple[AreaShown, ...] = ()

    @property
    def more(self) -> int:
        """The messages that are not listed."""
        return self.total - len(self.messages)


class DeliveryShown(NamedTuple):
    """A message in a notice about a late detection: it was delivered before a part of it was detected."""

    time: str
    sender: str
    recipients: tuple[str, ...]
    more_recipients: int
    client: str
    queue_id: str


class LateNotice(NamedTuple):
    """What the templates of a late detection have: the first of `total` messages with a part that is detected now."""

    host: str
    zone: str
    signature: str
    digest: str
    time: str
    queue_id: str
    total: int
    messages: tuple[DeliveryShown, ...]

    @property
    def more(self) -> int:
        """The messages that are not listed."""
        return self.total - len(self.messages)


MailContent = Notice | Summary | LateNotice
"""What a mail is about."""


def late_notice(host: str, detected: Detected, deliveries: Sequence[AcceptedMail], total: int) -> LateNotice:
    """The notice that a digest is detected which `total` messages had before; the first of these are given."""
    return LateNotice(
        host,
        zone(detected.time),
        shown_text(detected.signature),
        detected.digest.hex(),
        local_minute(detected.time),
        shown_text(detected.queue_id),
        total,
        tuple(_delivery_shown(one) for one in deliveries[:_LISTED_DELIVERIES]),
    )


def _delivery_shown(one: AcceptedMail) -> DeliveryShown:
    listed = one.recipients[:_LISTED_RECIPIENTS]
    return DeliveryShown(
        local_minute(one.time),
        mail_address(one.sender),
        tuple(map(mail_address, listed)),
        one.recipients_count - len(listed),
        shown_text(one.client),
        shown_text(one.queue_id),
    )


def shown_message(standing: Standing, max_age: float, recipient: bytes | None = None) -> Shown:
    """The message as its `recipient` may see it, or an administrator; `max_age` (seconds) is that of its area."""
    entry = standing.entry
    state = standing.state if recipient is None else standing.states.get(recipient, standing.state)
    listed = entry.recipients[:_LISTED_RECIPIENTS] if recipient is None else (recipient,)
    return Shown(
        id=entry.id,
        time=local_minute(entry.time),
        author=shown_text(entry.author),
        sender=mail_address(entry.sender),
        subject=shown_text(entry.subject) or "(no subject)",
        reason=_reason(entry),
        size=shown_size(entry.size),
        state=_STATES[state],
        until=f"{_local(entry.time + max_age):%Y-%m-%d}" if state in _KEPT else "",
        area=shown_text(entry.area),
        recipients=tuple(map(mail_address, listed)),
        more_recipients=len(entry.recipients) - len(listed) if recipient is None else 0,
        client=shown_text(f"{entry.client_name} [{entry.client_address}]"),
        queue_id=shown_text(entry.queue_id),
    )


def _reason(entry: Entry) -> str:
    match entry.outcome:
        case Outcome.INFECTED:
            return f"virus found: {shown_text(entry.signature or 'unknown')}"
        case Outcome.SPAM:
            return "detected as spam"
        case Outcome.UNSCANNED:
            return f"not scanned: {_LIMITS.get(entry.reason, 'for an unknown reason')}"
        case Outcome.ERROR:
            return "not scanned: the scan failed"
        case _:
            return f"rule: {shown_text(entry.rule)}"


def local_minute(seconds: float) -> str:
    """A time (epoch, seconds) in the time zone of the host, to the minute."""
    return f"{_local(seconds):%Y-%m-%d %H:%M}"


def zone(seconds: float) -> str:
    """The name of the host's time zone at a time (epoch, seconds)."""
    return shown_text(_local(seconds).tzname() or "local time")


def _local(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds).astimezone()


def samples() -> Sequence[MailContent]:
    """A mail of each kind for each audience with all that can be in it, to try templates on."""
    message = Shown(
        id="01k0sample0123456789",
        time="2026-11-29 05:13",
        author="Sample Author <author@example[.]org>",
        sender="author@example[.]org",
        subject="Sample subject",
        reason="virus found: Sample[.]Signature",
        size="30 KiB",
        state="in quarantine",
        until="2026-12-29",
        area="default",
        recipients=("recipient@example[.]org",),
        more_recipients=1,
        client="client[.]example[.]org [192.0.2.1]",
        queue_id="6AT5D0xx000001",
    )
    area = AreaShown("default", 2, 3, "1 MiB", "2026-11-01")
    summary = Summary(
        "mx.example.org",
        administrator=False,
        since="2026-11-28 06:00",
        until="2026-11-29 06:00",
        zone="UTC",
        total=2,
        messages=(message,),
    )
    late = late_notice("mx.example.org", Detected(bytes(32), "Sample.Signature", "6AT5D0xx000002", 0.0), (), 1)
    earlier = AcceptedMail(0.0, "6AT5D0xx000001", "192.0.2.1", b"<author@example.org>", (b"<jo@example.org>",), 2)
    return (
        Notice("mx.example.org", administrator=False, zone="UTC", message=message),
        Notice("mx.example.org", administrator=True, zone="UTC", message=message),
        summary,
        summary._replace(administrator=True, areas=(area,)),
        summary._replace(administrator=True, areas=(area,), total=0, messages=()),
        late._replace(total=2, messages=(_delivery_shown(earlier),)),
    )
