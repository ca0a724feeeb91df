"""`allow` and `deny`: add an entry to a list."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from miltscan.commands.common import Config, exit_on_error
from miltscan.commands.dropping import acting_user
from miltscan.commands.lists_common import add_entry, added_text, expiry, refuse_limit_name
from miltscan.commands.logged import LoggedMessage, logged_message, preview
from miltscan.commands.tables import indented, terminal_width
from miltscan.commands.terminal import say
from miltscan.config.load import load_settings
from miltscan.config.settings import Settings
from miltscan.core.address import Network
from miltscan.core.lists import DIGEST, ListEntry, ListName
from miltscan.core.patterns import pattern
from miltscan.core.verdict import HEURISTICS
from miltscan.sandwich.logfiles import Logs, has_journal, usual_files

_WHAT = "SIGNATURE|SHA256|SENDER"
_DENIED = "In force within a second: a message that matches is rejected, also a clean one."
_FOR_ALL = (
    "Does not apply to a message that has other recipients, too, as one decision is made for all of them. For a "
    "decision for each recipient set lists.each_recipient (docs/lists.md)."
)

What = Annotated[
    str,
    typer.Argument(
        metavar=_WHAT,
        help="A signature, the SHA-256 of a message, or a sender: user@domain, user@, @domain, .domain or <>.",
        show_default=False,
    ),
]
Sender = Annotated[
    str, typer.Option("--sender", metavar="SENDER", help="Only mail of this sender, next to a SIGNATURE or SHA256.")
]
For = Annotated[
    str,
    typer.Option("--for", metavar="RECIPIENT|DOMAIN", help="Only mail to this recipient or domain."),
]
Client = Annotated[
    str, typer.Option("--client", metavar="NETWORK", help="Only from clients with this address or in this network.")
]
Authenticated = Annotated[bool, typer.Option("--authenticated", help="Only from clients that have authenticated.")]
Until = Annotated[
    str, typer.Option("--until", metavar="TIME", help="Until then: 30d, or 2026-12-31 (included), 2026-12-31T18:00.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, for the record.")]


def allow(  # noqa: PLR0913 - one parameter for each option
    what: What = "",
    *,
    queue_id: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="QUEUE-ID",
            help="What was detected in this message, from its sender, as the log has it.",
        ),
    ] = "",
    logs: Annotated[
        list[Path] | None,
        typer.Option("--log", "-l", metavar="FILE", help="Read this log for --from; may be repeated.", readable=False),
    ] = None,
    sender: Sender = "",
    recipient: For = "",
    client: Client = "",
    authenticated: Authenticated = False,
    until: Until = "",
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Config = None,
) -> None:
    """Allow what an engine detects.

    An entry changes only the verdict that it names. With an allowed Heuristics.* signature a message is clean. With any
    other one the engine has not looked at the rest: the message is unscanned, which policy.on_unscanned.allowed accepts
    by default. A sender alone can be forged: it allows only Heuristics.* and spam, unless --client or --authenticated
    is given. The entry is in force in all workers within a second.

    \b
    Examples:
      miltscan allow --from 6AMG4FAU001849 --until 30d --reason 'ticket 4711'
      miltscan allow Heuristics.Phishing.Email.SpoofedDomain --sender @bank.example --reason 'their newsletter'
      miltscan allow @partner.example --client 192.0.2.0/24 --reason 'contract 12'
    """
    if bool(what) == bool(queue_id):
        raise typer.BadParameter(f"expected either {_WHAT} or --from QUEUE-ID")
    terms = _Terms(ListName.ALLOW, recipient, client, until, reason, authenticated)
    with exit_on_error():
        settings = load_settings(config)
        if queue_id:
            read = Logs(logs or usual_files(), journal=not logs and has_journal())
            found = logged_message(queue_id, read)
            entry = terms.entry_for(found, sender)
            refuse_limit_name(entry.signature)
            say("\n".join(preview(settings, found, entry, terminal_width())))
            if not yes:
                typer.confirm("Add this entry?", abort=True, err=True)
        else:
            entry = terms.entry(what, sender)
            refuse_limit_name(entry.signature)
        say(added_text(add_entry(settings, entry)))
        say("\n".join(_consequences(entry)))
        _say_for_whom(settings, recipient)


def deny(  # noqa: PLR0913 - one parameter for each option
    what: What,
    *,
    sender: Sender = "",
    recipient: For = "",
    client: Client = "",
    authenticated: Authenticated = False,
    until: Until = "",
    reason: Reason,
    config: Config = None,
) -> None:
    """Deny a sender, a message or a signature.

    A message that matches is rejected with 550, also if it is clean. SHA256 is that of the whole message as received,
    headers and body, as an entry of the quarantine has it. The entry is in force in all workers within a second.

    \b
    Examples:
      miltscan deny @spam.example --reason 'ticket 4712'
      miltscan deny .spam.example --for sales@example.org --until 7d --reason 'mail bomb'
    """
    terms = _Terms(ListName.DENY, recipient, client, until, reason, authenticated)
    with exit_on_error():
        settings = load_settings(config)
        say(added_text(add_entry(settings, terms.entry(what, sender))))
        say(_DENIED)
        _say_for_whom(settings, recipient)


@dataclass(frozen=True)
class _Terms:
    """The options of both commands, as given."""

    list: ListName
    recipient: str
    client: str
    until: str
    reason: str
    authenticated: bool

    def entry_for(self, found: LoggedMessage, sender: str) -> ListEntry:
        """The entry for what was found in a message from this sender, else from its own. Raises typer.BadParameter."""
        by = sender or found.sender
        return self.entry(found.signature, by) if found.signature else self.entry(by, "")

    def entry(self, what: str, sender: str) -> ListEntry:
        """The entry that the options mean, without an ID. Raises typer.BadParameter."""
        now = time.time()
        if not self.reason.strip():
            raise typer.BadParameter("expected a reason", param_hint="--reason")
        entry = ListEntry(
            id="",
            list=self.list,
            added=now,
            by=acting_user(),
            reason=self.reason.strip(),
            recipient=_recipient(self.recipient),
            client=_network(self.client),
            authenticated=self.authenticated,
            until=expiry(self.until, now),
        )
        text = what.strip()
        if DIGEST.fullmatch(text.lower()):
            entry = replace(entry, digest=text.lower())
        elif "@" in text or text.startswith((".", "<")):
            if sender:
                raise typer.BadParameter(f"{what} is a sender already", param_hint="--sender")
            return replace(entry, sender=_pattern(text, _WHAT))
        elif not text or not text.isprintable():
            raise typer.BadParameter(f"expected {_WHAT}", param_hint=_WHAT)
        else:
            entry = replace(entry, signature=text)
        return replace(entry, sender=_pattern(sender, "--sender")) if sender else entry


def _pattern(text: str, option: str) -> str:
    with _mistake(option):
        return pattern(text)
    raise AssertionError


def _recipient(text: str) -> str:
    """The pattern of a recipient, which may be a bare domain."""
    return _pattern(text if "@" in text or text.startswith(".") else f"@{text}", "--for") if text else ""


def _network(text: str) -> Network | None:
    if not text:
        return None
    with _mistake("--client"):
        return ip_network(text)
    raise AssertionError


@contextmanager
def _mistake(option: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _say_for_whom(settings: Settings, recipient: str) -> None:
    """Say what an entry for a recipient means where a message has several."""
    if recipient and not settings.splits:
        say("\n".join(indented(_FOR_ALL, terminal_width())))


def _consequences(entry: ListEntry) -> Iterator[str]:
    """What an allow entry means for a message, and the line with which clamd scans the rest of it."""
    width = terminal_width()
    if entry.signature.startswith(HEURISTICS):
        yield from indented("A message with this signature is clean and marked; clamd has looked at all of it.", width)
    elif not entry.exempts_viruses:
        text = (
            "Allows Heuristics.* and spam only: anyone can forge a sender. For all detections add --client or "
            "--authenticated."
        )
        yield from indented(text, width)
    else:
        text = (
            "An engine stops at a detection and does not look at the rest: such a message is unscanned (allowed), "
            "marked in header, log and metric. policy.on_unscanned.allowed decides about it."
        )
        yield from indented(text, width)
    if entry.signature and not entry.signature.startswith(HEURISTICS):
        yield from indented("With this line clamd ignores the signature, in all mail, and scans the rest:", width)
        name = quote(entry.signature.removesuffix(".UNOFFICIAL"))
        yield f"    echo {name} >>/var/lib/clamav/local.ign2 && clamdscan --reload"
