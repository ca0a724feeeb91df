"""What is done with a message whose recipients have different decisions. Pure, and it never raises.

    stays        the recipient remains in the MTA's message, of which all have the same header edits
    stored       in an area of the quarantine, also for a recipient that is refused: nothing vanishes
    copied       the delivery sendmail receives a copy for the recipient, with the edits of its decision
    redirected   the delivery sendmail receives a copy for other addresses
    dropped      as its decision says

The MTA's message is discarded where nobody stays. The client has one answer for all: it keeps the message if one
recipient is tempfailed, and it is refused if all are.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.action import (
    REFUSED_AREA,
    Accept,
    AddRecipient,
    Copy,
    Decision,
    Discard,
    Hold,
    Quarantine,
    RecipientEdit,
    Redirect,
    Reject,
    RemoveRecipient,
    Reply,
    TempFail,
)
from miltscan.core.message import Destination, Envelope
from miltscan.core.report import Group

_SEVEREST = (Reject, TempFail, Quarantine, Hold, Redirect, Discard, Copy, Accept)
"""The actions, the strictest first. Before `discard` come those that lose nothing."""
_GONE = (Quarantine, Redirect, Discard)
"""The actions that a message without a remaining recipient can show, the one that says most first."""


class RecipientMode(StrEnum):
    """What is done where recipients of one message have different decisions."""

    EACH = "each"
    STRICTEST = "strictest"
    SPLIT_AT_RCPT = "split-at-rcpt"


SPLIT = Decision(
    TempFail(Reply(452, "4.5.3", "Recipients with different policies, send them one by one")), "recipients"
)
"""The answer to RCPT for a recipient who needs a transaction of his own: RFC 5321 section 4.5.3.1.10."""


class Share(NamedTuple):
    """What is done for the recipients of a group; `stays` as above.

    `area` is where the message is stored for them. `to` are the addresses for which the delivery sendmail receives the
    message with the edits of the group's decision: those of the recipients, or others.
    """

    group: Group
    stays: bool = False
    area: str = ""
    to: tuple[bytes, ...] = ()


class Plan(NamedTuple):
    """The decision that the MTA receives, and the shares; none where the decision is all that is to be done."""

    decision: Decision
    shares: tuple[Share, ...] = ()


def plan(mode: RecipientMode, envelope: Envelope, groups: Sequence[Group], *, whole: bool = True) -> Plan:
    """The plan for a message whose recipients are all in one of `groups`.

    Where the MTA does not let us edit its recipients, or not the whole message is there to be stored, the strictest
    decision applies to all of them.
    """
    if _are_alike(groups):
        return _alike(envelope, groups[0].decision)
    if mode is not RecipientMode.EACH or not whole or not _is_editable(envelope):
        return _alike(envelope, strictest(groups))
    decisions = [group.decision for group in groups]
    if tempfailed := [one for one in decisions if isinstance(one.action, TempFail)]:
        return Plan(tempfailed[0])
    if all(isinstance(one.action, Reject) for one in decisions):
        return Plan(decisions[0])
    return _each(envelope, groups)


def _are_alike(groups: Sequence[Group]) -> bool:
    """Whether the same is done for all, by whatever rules."""
    return len({(group.decision.action, group.decision.edits) for group in groups}) == 1


def _alike(envelope: Envelope, decision: Decision) -> Plan:
    """The MTA's message is right for all; only other addresses may have to receive it."""
    if not isinstance(decision.action, Redirect | Copy):
        return Plan(decision)
    everybody = Group((*range(len(envelope.recipients)),), decision)
    return Plan(decision, (Share(everybody, isinstance(decision.action, Copy), to=decision.action.to),))


def _each(envelope: Envelope, groups: Sequence[Group]) -> Plan:
    main = _main(groups)
    shares = tuple(_share(envelope, group, main) for group in groups)
    removed = {position for share in shares if not share.stays for position in share.group.recipients}
    if main is None:
        actions = [group.decision for group in groups if isinstance(group.decision.action, _GONE)]
        return Plan(min(actions, key=lambda one: _GONE.index(type(one.action))), shares)
    return Plan(main._replace(recipients=(*_edits(envelope, removed),)), shares)


def _main(groups: Sequence[Group]) -> Decision | None:
    """The decision by which the MTA's message is edited: of those that are held, else of most recipients."""
    staying = [group for group in groups if isinstance(group.decision.action, Accept | Copy | Hold)]
    if not staying:
        return None
    held = [group for group in staying if isinstance(group.decision.action, Hold)]
    return max(held or staying, key=lambda group: len(group.recipients)).decision


def _share(envelope: Envelope, group: Group, main: Decision | None) -> Share:
    match group.decision.action:
        case Reject() | TempFail():  # a tempfail is a tempfail for all, and gets here never
            return Share(group, area=REFUSED_AREA)
        case Quarantine(area) | Discard(area):
            return Share(group, area=area)
        case Redirect(to):
            return Share(group, to=to)
        case Hold():  # a message is held once, and with one set of edits
            return Share(group, stays=True)
        case Accept() | Copy() as action:
            others = action.to if isinstance(action, Copy) else ()
            if main is not None and not isinstance(main.action, Hold) and group.decision.edits == main.edits:
                return Share(group, stays=True, to=others)
            return Share(group, to=(*dict.fromkeys(envelope.recipients[one] for one in group.recipients), *others))


def strictest(groups: Sequence[Group]) -> Decision:
    """Of the decisions the strictest, and of equals the one with most edits; it drops no mail of others."""
    decisions = [group.decision for group in groups]
    chosen = min(decisions, key=lambda one: (_SEVEREST.index(type(one.action)), -len(one.edits)))
    if isinstance(chosen.action, Discard) and not chosen.action.area:
        return chosen._replace(action=Discard(REFUSED_AREA))
    return chosen


def _is_editable(envelope: Envelope) -> bool:
    """Whether the MTA lets us edit these recipients; libmilter takes only addresses in UTF-8."""
    return (
        envelope.editable
        and len(envelope.destinations) == len(envelope.recipients)
        and all(map(_is_text, envelope.recipients))
    )


def _is_text(address: bytes) -> bool:
    try:
        address.decode()
    except UnicodeDecodeError:
        return False
    return True


def _edits(envelope: Envelope, removed: Collection[int]) -> Iterator[RecipientEdit]:
    """The removals, and then the kept recipients that they would remove as well.

    sendmail removes whatever it made of an address. If virtusertable sends two recipients to one mailbox, the removal
    of one removes both (tests/e2e/test_split.py); the other is added again. So is one whose target is unknown.
    """
    addresses = envelope.recipients
    for address in dict.fromkeys(addresses[one] for one in sorted(removed)):
        yield RemoveRecipient(address)
    targets = {_target(envelope.destinations[one]) for one in removed}
    kept = {
        address: destination
        for position, (address, destination) in enumerate(zip(addresses, envelope.destinations, strict=True))
        if position not in removed and (None in targets or _target(destination) in {None, *targets})
    }
    for address, destination in kept.items():
        yield AddRecipient(address, destination.arguments)


def _target(destination: Destination) -> tuple[str, ...] | None:
    """What may be compared of a target; None if the MTA does not name it."""
    return tuple(share.lower() for share in destination.target) if destination.target[2] else None
