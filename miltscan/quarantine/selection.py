"""Which entries a list, a search or a job is about, as conditions on the index."""

from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, or_, select, true

from miltscan.quarantine.entry import State, first_id
from miltscan.quarantine.tables import ENTRIES, RECIPIENTS

Condition = ColumnElement[bool]
_ESCAPE = "\\"


class Selection(NamedTuple):
    """Entries that meet all of these conditions; an empty or missing one is met by all.

    `sender` and `recipient` are an address, or a domain with a leading `@`. `signature` may contain `*`. `older_than`
    and `newer_than` are times (epoch, seconds). Each word of `text` is in the subject, From:, the sender, a
    recipient, a signature, the queue ID or the Message-ID. `signatures_below` is a version of the signature database:
    entries whose last scan had an older one.
    """

    area: str = ""
    sender: str = ""
    recipient: str = ""
    signature: str = ""
    state: State | None = None
    older_than: float | None = None
    newer_than: float | None = None
    text: str = ""
    digest: str = ""
    signatures_below: int = 0


EVERYTHING = Selection()


def conditions(wanted: Selection) -> Condition:
    """The condition on ENTRIES."""
    columns = ENTRIES.c
    found: list[Condition] = []
    if wanted.area:
        found.append(columns.area == wanted.area)
    if wanted.state is not None:
        found.append(columns.state == str(wanted.state))
    if wanted.digest:
        found.append(columns.digest == wanted.digest.lower())
    if wanted.older_than is not None:
        found.append(columns.id < first_id(wanted.older_than))
    if wanted.newer_than is not None:
        found.append(columns.id >= first_id(wanted.newer_than))
    if wanted.signatures_below:
        found.append(columns.signatures < wanted.signatures_below)
    if wanted.sender:
        found.append(_matches(columns.sender_key, columns.sender_domain, wanted.sender))
    if wanted.recipient:
        matches = _matches(RECIPIENTS.c.address_key, RECIPIENTS.c.domain, wanted.recipient)
        found.append(columns.id.in_(select(RECIPIENTS.c.entry_id).where(matches)))
    if wanted.signature:
        found.append(columns.signature.ilike(_pattern(wanted.signature), escape=_ESCAPE))
    found.extend(_contains(word) for word in wanted.text.casefold().split())
    return and_(true(), *found)


def _contains(word: str) -> Condition:
    recipients = select(RECIPIENTS.c.entry_id).where(RECIPIENTS.c.address_key.contains(word, autoescape=True))
    return or_(ENTRIES.c.words.contains(word, autoescape=True), ENTRIES.c.id.in_(recipients))


def _matches(address: Any, domain: Any, text: str) -> Condition:  # noqa: ANN401 - columns
    text = text.strip().removeprefix("<").removesuffix(">").lower()
    condition: Condition = domain == text[1:] if text.startswith("@") else address == text
    return condition


def _pattern(text: str) -> str:
    for character in (_ESCAPE, "%", "_"):
        text = text.replace(character, _ESCAPE + character)
    return text.replace("*", "%")
