"""`quarantine release`: sends messages to their recipients."""

# ruff: noqa: D301  a real \b keeps the lines of an example

import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated

import typer

from miltscan.commands.common import Config
from miltscan.commands.lists_common import add_entry, added_text, expiry, refuse_limit_name
from miltscan.commands.progress import progress
from miltscan.commands.quarantine_common import IdentityFile, Json, Opened, opened
from miltscan.commands.tables import indented, terminal_width
from miltscan.commands.terminal import complain, say, say_json
from miltscan.core.lists import ListEntry, ListName
from miltscan.core.patterns import pattern
from miltscan.core.verdict import Outcome
from miltscan.errors import ListError, MiltscanError
from miltscan.quarantine.audit import release_lines
from miltscan.quarantine.entry import Entry, shown_address
from miltscan.quarantine.release import Order, Release
from miltscan.telemetry.audit import write_audit

_SHOWN = 5  # recipients with the same result
_FEW = 20  # entries for which a bar would only flicker
_FIELDS = ("queue_id", "reply", "remedy")
_ADDRESS = re.compile(r"<?([!-;=?-~]{1,254})>?", re.ASCII)


def release_entries(  # noqa: PLR0913 - one parameter for each option
    entries: Annotated[
        list[str], typer.Argument(metavar="ID", help="The IDs of entries, or their beginnings.", show_default=False)
    ],
    *,
    recipient: Annotated[
        list[str] | None,
        typer.Option("--recipient", metavar="ADDRESS", help="Only to this recipient of the entry; may be repeated."),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="ADDRESS", help="Send it to this address instead; the entry does not change.")
    ] = "",
    again: Annotated[bool, typer.Option("--again", help="Also to recipients who have received it.")] = False,
    infected: Annotated[
        bool, typer.Option("--infected", help="Although a virus was found in it; requires --reason.")
    ] = False,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="The reason, for history and log.")] = "",
    allow: Annotated[
        bool, typer.Option("--allow", help="Also allow what was detected, from this sender; requires --reason.")
    ] = False,
    until: Annotated[
        str, typer.Option("--until", metavar="TIME", help="With --allow: until then, as for miltscan allow.")
    ] = "",
    json: Json = False,
    identity: IdentityFile = None,
    config: Config = None,
) -> None:
    """Send messages to their recipients.

    The delivery sendmail receives the message from its original sender. An entry is released for a recipient only when
    that sendmail has accepted the message; its queue ID is printed. Otherwise the entry stays, and the reply is printed
    with a remedy. With --allow, what was detected is allowed in later mail of this sender, as by miltscan allow.

    The status is 0 if each recipient's message was accepted, else 1.

    \b
    Examples:
      miltscan quarantine release 01m8jfm6b0
      miltscan quarantine release 01m8jfm6b0 --recipient you@example.org
      miltscan quarantine release 01m8jfm6b0 --to abuse@example.org
      miltscan quarantine release 01m8jfm6b0 --infected --reason 'false positive, ticket 4711'
      miltscan quarantine release 01m8jfm6b0 --infected --allow --until 30d --reason 'ticket 4711'
      miltscan quarantine list --state cleared --limit 0 --ids |
        xargs miltscan quarantine release
    """
    if infected and not reason.strip():
        raise typer.BadParameter("--infected requires --reason TEXT")
    if allow and not reason.strip():
        raise typer.BadParameter("--allow requires --reason TEXT")
    if until and not allow:
        raise typer.BadParameter("--until requires --allow")
    allowing = partial(_allowing, reason.strip(), expiry(until, time.time())) if allow else None
    addresses = tuple(_address(one, "--recipient") for one in recipient or ())
    failed = 0
    with opened(config, identity, signs=True) as quarantine:
        order = Order(quarantine.user, addresses, _address(to, "--to") if to else b"", again, infected, reason)
        with progress("Releasing", len(entries), shown=len(entries) > _FEW, prints=True) as update:
            for number, text in enumerate(entries, 1):
                failed += not _release(quarantine, text, order, allowing, json=json)
                update(number)
    raise typer.Exit(int(bool(failed)))


def _allowing(reason: str, until: float | None, entry: Entry, user: str) -> ListEntry:
    """The entry of the allow list for what was detected in a message, from its sender. Raises ListError."""
    if not entry.signature and entry.outcome is not Outcome.SPAM:
        raise ListError(
            f"{entry.id}: nothing was detected in it, so there is nothing to allow; release it without --allow"
        )
    signature = entry.signature or ""
    refuse_limit_name(signature)
    try:
        sender = pattern(shown_address(entry.sender) or "<>")
    except ValueError as error:
        raise ListError(f"{entry.id}: its sender: {error}; release it without --allow") from None
    return ListEntry("", ListName.ALLOW, time.time(), user, reason, signature, sender=sender, until=until)


def _release(
    quarantine: Opened, text: str, order: Order, allowing: Callable[[Entry, str], ListEntry] | None, *, json: bool
) -> bool:
    """Release one entry, with its lines in the log; returns whether all of its recipients have it now.

    What `allowing` makes of it is added to the allow list once they have.
    """
    added: ListEntry | None = None
    try:
        entry_id = quarantine.find(text)
        wanted = allowing(quarantine.files.read(entry_id).entry, order.by) if allowing else None
        result = quarantine.releaser(entry_id).release(entry_id, order)
    except MiltscanError as error:
        complain(str(error))
        return False
    for line in release_lines(result):
        write_audit(*line)
    done = all(one.queue_id for one in result.deliveries)
    if wanted and done:
        try:
            added = add_entry(quarantine.settings, wanted)
        except MiltscanError as error:
            complain(str(error))
            done = False
    if json:
        deliveries = [
            {"recipient": shown_address(one.recipient)} | {name: getattr(one, name) for name in _FIELDS}
            for one in result.deliveries
        ]
        say_json({"id": entry_id, "deliveries": deliveries} | ({"allowed": added.id} if added else {}))
    else:
        say("\n".join(_lines(result, terminal_width())))
        if added:
            say(added_text(added))
    return done


def _lines(result: Release, width: int) -> Iterator[str]:
    """The ID, and a result for all recipients that have the same one."""
    yield result.entry.id
    groups: dict[tuple[str, ...], list[str]] = {}
    for one in result.deliveries:
        groups.setdefault((one.queue_id, one.reply, one.remedy), []).append(shown_address(one.recipient))
    for (queue_id, reply, remedy), addresses in groups.items():
        more = f" and {len(addresses) - _SHOWN:,} more" if len(addresses) > _SHOWN else ""
        names = ", ".join(addresses[:_SHOWN]) + more
        done = f"released to {names} as {queue_id}"
        yield from indented(done if queue_id else f"not released to {names}: {reply}", width)
        if remedy:
            yield from indented(f"-> {remedy}", width)


def _address(text: str, option: str) -> bytes:
    """An address as in the envelope."""
    if not (found := _ADDRESS.fullmatch(text)):
        raise typer.BadParameter(f"{text}: expected a mail address", param_hint=option)
    return f"<{found[1]}>".encode("ascii")
