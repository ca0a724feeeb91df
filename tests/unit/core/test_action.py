"""What is done to the headers of a message: only where it is kept, and in an order that MTAs understand."""

import pytest

from miltscan.core.action import Accept, Action, Decision, Discard, Hold, Reject, Reply, TempFail
from miltscan.core.edits import HeaderEdit, InsertHeader, RemoveHeader, removals

REPLY = Reply(451, "4.3.0", "later")
OWN: tuple[HeaderEdit, ...] = (InsertHeader("X-Virus-Status", "Clean"),)
MORE: tuple[HeaderEdit, ...] = (RemoveHeader("X-Other", 2), RemoveHeader("X-Other", 1))


@pytest.mark.parametrize(
    ("action", "edits"),
    [
        (Accept(), OWN + MORE),
        (Hold("why"), OWN + MORE),
        (Discard(), OWN),
        (TempFail(REPLY), OWN),
        (Reject(REPLY), OWN),
    ],
)
def test_only_what_is_kept_is_edited(action: Action, edits: tuple[HeaderEdit, ...]) -> None:
    """More edits come behind those of the decision; all else of it stays."""
    assert Decision(action, "rule", OWN).edited(MORE) == Decision(action, "rule", edits)


@pytest.mark.parametrize(
    ("action", "reply"),
    [(Accept(), None), (Hold("why"), None), (Discard(), None), (TempFail(REPLY), REPLY), (Reject(REPLY), REPLY)],
)
def test_only_a_refusal_has_a_reply_of_ours(action: Action, reply: Reply | None) -> None:
    """Where the client gets 250, the reply is that of the MTA."""
    assert Decision(action, "rule").reply == reply


def test_headers_of_one_name_are_removed_from_the_last() -> None:
    """Each is removed under the name as the sender wrote it; where there is none nothing is edited."""
    names = (b"X-Ours-A", b"X-Other", b"x-OURS-a", b"A", b"X-Mine", b"X-OUR", b"X-Ours-B")
    headers = [(name, b"") for name in names]
    assert removals(headers, (b"x-ours-", b"x-mine")) == (
        RemoveHeader("X-Ours-B", 1),
        RemoveHeader("X-Mine", 1),
        RemoveHeader("x-OURS-a", 2),
        RemoveHeader("X-Ours-A", 1),
    )
    assert removals(headers, (b"x-theirs",)) == removals(headers, ()) == ()
