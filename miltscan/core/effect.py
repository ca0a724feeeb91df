"""What a rule does with a message that it decides: the action, the reply, and edits of headers. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from miltscan.core.action import ActionName, Choice, Reply
from miltscan.core.edits import ChangeHeader, Header, HeaderEdit, InsertHeader, RemoveHeader
from miltscan.core.template import Template

_REPLY = 400  # characters of a text: RFC 5321 section 4.5.3.1.5 allows a reply of 512 bytes
_LINE = 998  # bytes of a line: RFC 5322 section 2.1.1
_VALUE = 700  # characters of a header's value, on one line
LONGEST_TAG = 40
"""Characters of a subject tag, placeholders unfilled."""
_SUBJECT = b"subject"
_NAME = re.compile(r"[!-9;-~]{1,70}")  # RFC 5322 section 3.6.8
_CODE = re.compile(r"(?!421)([45])[0-9]{2}(?: (\1\.[0-9]{1,3}\.[0-9]{1,3}))?")
_CLASS = {ActionName.REJECT: "5", ActionName.TEMPFAIL: "4"}
_NOT_OURS = re.compile(
    "(?:received|return-path|from|sender|reply-to|to|cc|bcc|date|message-id|in-reply-to|references|subject|mime-version"
    "|dkim-signature|authentication-results|(?:content|resent|arc|x-virus|x-spam|x-miltscan)-.*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a rule. `code` and `status` are those of the reply, where the rule names them.

    A header that is added replaces those of its name that the sender added; `tag` comes before the subject.
    """

    choice: Choice
    code: int | None = None
    status: str = ""
    text: Template | None = None
    add_headers: tuple[tuple[str, Template], ...] = ()
    remove_headers: tuple[str, ...] = ()
    tag: Template | None = None


def reply_of(effect: Effect, values: Mapping[str, str], default: Reply) -> Reply:
    """The reply of a rule that refuses; of `default` what it does not name. The queue ID is always part of it."""
    text = default.text
    if effect.text:
        text = effect.text.fill(values, _REPLY)
        if values["queue_id"] and not effect.text.uses("queue_id"):
            text = f"{text} ({Template((('', 'queue_id'),)).fill(values, 64)})"
    return Reply(effect.code or default.code, effect.status or default.status, text)


def edits_of(effect: Effect, headers: Sequence[Header], values: Mapping[str, str]) -> tuple[HeaderEdit, ...]:
    """The rule's own edits of a message with these headers, which come after those of the policy."""
    gone = {name.lower().encode() for name in (*effect.remove_headers, *(name for name, _ in effect.add_headers))}
    added = (InsertHeader(name, value.fill(values, _VALUE)) for name, value in effect.add_headers)
    tagged = _tagged(effect.tag.fill(values, _VALUE), headers) if effect.tag else ()
    return (*_removals(headers, gone), *tagged, *added) if gone or tagged else ()


def _removals(headers: Sequence[Header], names: set[bytes]) -> Iterator[RemoveHeader]:
    """The last comes first: removing one moves the index of those behind it."""
    for name in sorted(names):
        number = sum(one.lower() == name for one, _ in headers)
        yield from (RemoveHeader(name.decode(), index) for index in range(number, 0, -1))


def _tagged(tag: str, headers: Sequence[Header]) -> tuple[HeaderEdit, ...]:
    """The edit that puts a tag before the subject, once. A subject in bytes that are no UTF-8 is read as Latin-1."""
    subject = next((value for name, value in headers if name.lower() == _SUBJECT), None)
    if subject is None:
        return (InsertHeader("Subject", tag),)
    try:
        text = subject.decode()
    except UnicodeDecodeError:
        text = subject.decode("latin-1")
    text = text.lstrip(" \t\n")
    if text.startswith(tag):
        return ()
    line, _, _ = f"Subject: {tag} {text}".partition("\n")
    space = " " if len(line.encode()) <= _LINE else "\n "
    return (ChangeHeader("Subject", 1, f"{tag}{space}{text}".rstrip(" ")),)


def code_of(action: ActionName, text: str) -> tuple[int, str]:
    """Code and enhanced status (RFC 3463; may be empty) of `550 5.7.1`. Raises ValueError."""
    wanted = _CLASS.get(action)
    found = _CODE.fullmatch(text)
    if wanted is None:
        raise ValueError('expected none: only the actions "reject" and "tempfail" have a reply')
    if found is None or found[1] != wanted:
        raise ValueError(f'expected a code such as "{wanted}50" or "{wanted}50 {wanted}.7.1" for the action "{action}"')
    return int(text[:3]), found[2] or ""


def header_name(name: str) -> str:
    """The name of a header that a rule may add or remove. Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError("expected the name of a header: printable ASCII without colon and spaces")
    if _NOT_OURS.fullmatch(name):
        raise ValueError("expected another header: this one belongs to the sender, the MTA or to miltscan's own")
    return name


def tag_of(text: str) -> Template:
    """The tag of a subject. Raises ValueError."""
    if not text.strip() or len(text) > LONGEST_TAG or "=?" in text:
        raise ValueError(f'expected a text such as "[SPAM]" of at most {LONGEST_TAG} characters')
    return Template.parse(text)
