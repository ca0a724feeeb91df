"""What a rule does with a message that it decides: the action, the reply, and edits of headers. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from miltscan.core.action import Choice, Reply
from miltscan.core.edits import Header, HeaderEdit


@dataclass(frozen=True, slots=True)
class Effect:
    """The effect of a rule."""

    choice: Choice


def reply_of(_effect: Effect, _values: Mapping[str, str], default: Reply) -> Reply:
    """The reply of a rule that refuses; `default` where it names none."""
    return default


def edits_of(_effect: Effect, _headers: Sequence[Header], _values: Mapping[str, str]) -> tuple[HeaderEdit, ...]:
    """The rule's own edits of a message with these headers, which come after those of the policy."""
    return ()
