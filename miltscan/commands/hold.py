"""`hold`: lists, releases and deletes the messages that the policy holds in sendmail's own queue.

Messages are chosen among those that are in the queue, so that nothing a user types reaches a path or a command line.
"""

# ruff: noqa: D301  a real \b keeps the lines of an example

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from miltscan.commands.common import command_group, exit_on_error
from miltscan.commands.dropping import acting_user
from miltscan.commands.progress import progress
from miltscan.commands.tables import Column, counted, fit, size_text, table, terminal_width, time_text
from miltscan.commands.terminal import complain, say, say_json
from miltscan.core.text import readable
from miltscan.doctor.steps import first_incoming
from miltscan.errors import QueueError
from miltscan.sandwich.held import HandedOver, Held, delete_held, hand_over, read_cf, read_held
from miltscan.telemetry.audit import write_audit

_NAMED = 3  # recipients of one line
_COLUMNS = (Column("QUEUE ID"), Column("ARRIVED"), Column("SIZE", right=True), Column("REASON"))

Ids = Annotated[
    list[str] | None, typer.Argument(metavar="QUEUE-ID", help="The queue ID, or the first characters of it.")
]
ConfFile = Annotated[
    Path | None,
    typer.Option(
        "--cf",
        metavar="FILE",
        help="The .cf file of the sendmail that holds the messages [default: /etc/mail/incoming.cf, else sendmail.cf]",
        show_default=False,
        readable=False,  # not checked here: the error names the remedy
    ),
]
Sender = Annotated[str | None, typer.Option(metavar="ADDRESS", help="From this address, or a domain: @example.org")]
Recipient = Annotated[str | None, typer.Option(metavar="ADDRESS", help="To this address, or a domain: @example.org")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="Held for a reason that contains this text.")]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON object for each message.")]


def list_held(
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    reason: Reason = None,
    cf: ConfFile = None,
    json: Json = False,
) -> None:
    """List the held messages, the newest first.

    Run it as root. The status is 0 even if there is none.

    \b
    Examples:
      miltscan hold list
      miltscan hold list --recipient @example.org --reason Heuristics
      miltscan hold list --json | jq -r .queue_id
    """
    with exit_on_error():
        found = [*_matching(read_held(read_cf(cf or first_incoming())), sender, recipient, reason)]
    if json:
        for one in found:
            say_json(_fields(one))
    else:
        say("\n".join(_as_text(found)) if found else "no message is held")


def release_held(  # noqa: PLR0913 - one parameter for each option
    ids: Ids = None,
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    reason: Reason = None,
    cf: ConfFile = None,
    json: Json = False,
) -> None:
    """Deliver held messages, and print their queue IDs at the delivery sendmail.

    It waits for each one. A message that the delivery sendmail does not accept for now is still held. The status is 0
    if all were delivered, else 1. Run it as root.

    \b
    Examples:
      miltscan hold release 6AMG4FAU001849
      miltscan hold release --reason Heuristics.Phishing --recipient @example.org
    """
    _require_choice(ids, sender, recipient, reason)
    with exit_on_error():
        file = cf or first_incoming()
        chosen, missing = _chosen(read_held(read_cf(file)), ids, (sender, recipient, reason))
        well = not missing
        with progress("Releasing", len(chosen), shown=len(chosen) > 1, prints=True) as advance:
            for number, one in enumerate(chosen, 1):
                result = hand_over(one, file)
                if result.queue_ids or not (result.held or result.refused):
                    _audit("held_released", one)
                well = _print_release(one, result, json=json) and well
                advance(number)
    raise typer.Exit(int(not well))


def delete_held_messages(  # noqa: PLR0913 - one parameter for each option
    ids: Ids = None,
    *,
    sender: Sender = None,
    recipient: Recipient = None,
    reason: Reason = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them: without it they are only listed.")] = False,
    cf: ConfFile = None,
    json: Json = False,
) -> None:
    """Delete held messages for good.

    Neither sender nor recipient is notified. Without --yes it lists the messages, and the status is 2. The status is 0
    if all were deleted, else 1. Run it as root.

    \b
    Examples:
      miltscan hold delete --yes 6AMG4FAU001849
      miltscan hold delete --reason Eicar
    """
    _require_choice(ids, sender, recipient, reason)
    with exit_on_error():
        chosen, missing = _chosen(read_held(read_cf(cf or first_incoming())), ids, (sender, recipient, reason))
    if chosen and not yes:
        say("\n".join(_as_text(chosen)))
        complain(f"nothing is deleted; to delete {counted(len(chosen), 'message')}, add --yes")
        raise typer.Exit(2)
    failed = missing
    with progress("Deleting", len(chosen), shown=len(chosen) > 1, prints=True) as advance:
        for number, one in enumerate(chosen, 1):
            failed += not _delete(one, json=json)
            advance(number)
    raise typer.Exit(int(failed > 0))


def _delete(one: Held, *, json: bool) -> bool:
    """Delete one message and print the result; whether it is deleted."""
    why = ""
    try:
        delete_held(one)
        _audit("held_deleted", one)
    except (QueueError, OSError) as problem:
        why = str(problem)
        complain(why)
    if json:
        say_json({"queue_id": one.queue_id, "deleted": not why, "error": why})
    elif not why:
        say(f"{one.queue_id}: deleted")
    return not why


def _audit(event: str, one: Held) -> None:
    """Log who did it: sendmail logs the delivery but not its cause, and nothing of a deletion."""
    fields = {"queue_id": one.queue_id, "sender": readable(one.sender), "reason": readable(one.reason)}
    write_audit(event, "info", fields | {"by": acting_user()})


def _require_choice(*choices: object) -> None:
    """Nothing is released or deleted without a choice: a forgotten queue ID must not mean all messages."""
    if not any(choices):
        raise typer.BadParameter("expected a QUEUE-ID, --sender, --recipient or --reason")


def _chosen(
    held: Sequence[Held], ids: Sequence[str] | None, filters: tuple[str | None, str | None, str | None]
) -> tuple[list[Held], int]:
    """The messages that a user names, each once, and how many of the names are wrong; of those a line is printed."""
    matching = [*_matching(held, *filters)]
    if not ids:
        if not matching:
            complain("no held message matches")
        return matching, int(not matching)
    chosen: dict[str, Held] = {}
    wrong = 0
    for name in ids:
        found = [one for one in matching if one.queue_id == name] or [
            one for one in matching if name and one.queue_id.startswith(name)
        ]
        if len(found) == 1:
            chosen[found[0].queue_id] = found[0]
            continue
        wrong += 1
        several = ", ".join(one.queue_id for one in found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
        why = f"{len(found)} held messages begin so: {several}" if found else "no message with this queue ID is held"
        complain(f"{readable(name, 64)}: {why}")
    return [*chosen.values()], wrong


def _matching(held: Sequence[Held], sender: str | None, recipient: str | None, reason: str | None) -> Iterator[Held]:
    for one in held:
        if sender is not None and not _is_address(one.sender, sender):
            continue
        if recipient is not None and not any(_is_address(address, recipient) for address in one.recipients):
            continue
        if reason is None or reason.lower() in readable(one.reason).lower():
            yield one


def _is_address(address: bytes, wanted: str) -> bool:
    """Whether it is the wanted address or in the wanted domain (`@example.org`); `<>` or nothing is the null sender."""
    bare, name = _bare(address).lower(), wanted.strip("<>").lower()
    return bare.endswith(name) if name.startswith("@") else bare == name


def _bare(address: bytes) -> str:
    return readable(address.removeprefix(b"<").removesuffix(b">"))


def _as_text(held: Sequence[Held]) -> Iterator[str]:
    """A table: for each message a line of facts, one of its envelope, and one of its subject."""
    width = terminal_width()
    rows = [
        (
            one.queue_id,
            time_text(one.arrived),
            "lost" if one.size is None else size_text(one.size),
            readable(one.reason),
        )
        for one in held
    ]
    title, *lines = table(_COLUMNS, rows, width)
    yield title
    for line, one in zip(lines, held, strict=True):
        others = len(one.recipients) - _NAMED
        more = f" and {counted(others, 'other')}" if others > 0 else ""
        named = ", ".join(_bare(address) for address in one.recipients[:_NAMED])
        yield line
        yield "  " + fit(f"{_bare(one.sender) or '<>'} -> {named}{more}", width - 2)
        if one.subject:
            yield "  " + fit(one.subject, width - 2)
        if one.status:
            yield "  " + fit(readable(one.status), width - 2)


def _fields(one: Held) -> dict[str, object]:
    return {
        "queue_id": one.queue_id,
        "arrived": datetime.fromtimestamp(one.arrived).astimezone().isoformat(),
        "size": one.size,
        "reason": readable(one.reason),
        "status": readable(one.status),
        "sender": _bare(one.sender),
        "recipients": [_bare(address) for address in one.recipients],
        "message_id": readable(one.message_id),
        "subject": one.subject,
    }


def _print_release(one: Held, result: HandedOver, *, json: bool) -> bool:
    """Print the result; whether the message was delivered."""
    well = not (result.held or result.refused)
    if json:
        text = {"held": result.held, "refused": result.refused}
        say_json({"queue_id": one.queue_id, "released": well, "delivery": [*result.queue_ids], **text})
        return well
    if result.queue_ids:
        say(f"{one.queue_id}: delivered as {', '.join(result.queue_ids)}")
    elif well:
        say(f"{one.queue_id}: delivered")
    if result.held:
        complain(f"{one.queue_id}: still held: {result.held}")
    if result.refused:
        complain(f"{one.queue_id}: not delivered: {result.refused}; see: miltscan trace {one.queue_id}")
    return well


hold_app = command_group(
    "List, release and delete messages that sendmail holds.",
    "Example: miltscan hold list",
    {
        "list": list_held,
        "release": release_held,
        "delete": delete_held_messages,
    },
)
