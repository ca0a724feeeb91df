"""Which queue IDs of one message a log line connects: handoffs, clones, splits, and notices about it. It reads no file.

    to=<b@example.test>, ..., stat=Sent (NEW Message accepted for delivery)    handoff to the next sendmail
    {"event":"message", "decisions":[{"delivery":"NEW"}]}                       copies for some recipients, by miltscan
    NEW: clone: owner=<owner-list@example.test>           a copy for an alias with an owner; sendmail 8.12 and later
    clone OLD, owner=<owner-list@example.test>            the same of sendmail 8.9 to 8.11, in a line of NEW
    split: maxrcpts=1, rcpts=3, count=2, ids=NEW; NEW     recipients moved to other queue files (r= of a queue group)
    split: count=1, id=NEW                                the same for recipients of other queue groups
    NEW: DSN: User unknown                                a notice: bounce, or report of success or delay
    NEW: sender notify: ..., NEW: return to sender: ..., NEW: postmaster notify: ...

The texts are those of deliver.c (sendenvelope), queue.c (split_within_queue, split_by_recipient) and savemail.c
(returntosender) of sendmail 8.17.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from miltscan.sandwich.logforms import QUEUE_ID
from miltscan.sandwich.logline import EventKind, LogEvent, decisions_in, handoff_id


class LinkKind(StrEnum):
    """Why a message has another queue ID."""

    HANDOFF = "handoff"
    COPY = "copy"  # of the same message, without an envelope line of its own
    NOTICE = "notice"  # another message, to the sender or the postmaster


@dataclass(frozen=True, slots=True)
class Link:
    """Two queue IDs, in the order of the path."""

    sender: str
    receiver: str
    kind: LinkKind


_ID = QUEUE_ID.pattern
_COPY = re.compile(rf"({_ID}): clone: owner=")
_OLD_COPY = re.compile(rf"clone ({_ID}), owner=")
_SPLIT = re.compile(r"split: (?:maxrcpts=\d+, rcpts=\d+, )?count=\d+, ids?=")
_NOTICE = re.compile(rf"({_ID}): (?:DSN|return to sender|sender notify|postmaster notify): ")


def links(event: LogEvent) -> list[Link]:
    """The links of one line; of a text that a server chose at most one, a handoff."""
    here = event.queue_id
    if here is None or here == "NOQUEUE":
        return []
    if event.kind is EventKind.SCAN:
        copies = (str(one.get("delivery") or "") for one in decisions_in(event))
        return [Link(here, one, LinkKind.HANDOFF) for one in dict.fromkeys(copies) if QUEUE_ID.fullmatch(one)]
    if following := handoff_id(event):
        return [Link(here, following, LinkKind.HANDOFF)]
    return _made_here(here, event.text) if event.kind is EventKind.OTHER else []


def _made_here(here: str, text: str) -> list[Link]:
    if found := _OLD_COPY.match(text):
        return [Link(found[1], here, LinkKind.COPY)]
    if found := _NOTICE.match(text):
        return [Link(here, found[1], LinkKind.NOTICE)]
    if found := _COPY.match(text):
        return [Link(here, found[1], LinkKind.COPY)]
    return [Link(here, one, LinkKind.COPY) for one in _split_off(text)]


def _split_off(text: str) -> list[str]:
    """The queue IDs of a split; a long list goes on in further parts of the line, which contain nothing else."""
    named = _SPLIT.sub("", text, count=1).removesuffix("...").rstrip("; ").split("; ")
    return named if all(map(QUEUE_ID.fullmatch, named)) else []
