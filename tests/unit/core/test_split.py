"""What is done where recipients have different decisions: nobody is lost, and nobody receives what is not for them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.action import (
    Accept,
    Action,
    AddRecipient,
    Copy,
    Decision,
    Discard,
    Hold,
    Quarantine,
    Redirect,
    Reject,
    RemoveRecipient,
    Reply,
    TempFail,
)
from miltscan.core.edits import InsertHeader
from miltscan.core.message import Destination, Envelope
from miltscan.core.report import Group
from miltscan.core.split import Plan, RecipientMode, Share, plan

ACCEPT, OTHERS = Accept(), (b"<boss@example.test>",)
REJECT, OTHER_REJECT = Reject(Reply(550, "5.7.1", "no")), Reject(Reply(550, "5.7.1", "never"))
TEMPFAIL = TempFail(Reply(451, "4.7.1", "later"))
HOLD, QUARANTINE, DROP = Hold("because"), Quarantine("macros"), Discard()
REDIRECT, COPY = Redirect(OTHERS), Copy(OTHERS)
ACTIONS: tuple[Action, ...] = (
    ACCEPT,
    REJECT,
    OTHER_REJECT,
    TEMPFAIL,
    HOLD,
    QUARANTINE,
    Quarantine("b"),
    DROP,
    Discard("b"),
    REDIRECT,
    COPY,
)
TAG = (InsertHeader("X-Tag", "yes"),)
NAMES = (b"<a@example.test>", b"<b@example.test>", b"<c@example.test>", b"<d@example.test>")


def envelope(number: int, **fields: Any) -> Envelope:  # noqa: ANN401 - any field of an envelope
    """So many recipients, each with a mailbox of its own."""
    destinations = tuple(Destination((), ("local", "", f"box{position}")) for position in range(number))
    return Envelope(b"<s@example.org>", NAMES[:number], destinations=destinations, editable=True)._replace(**fields)


def groups(*actions: Action, tagged: tuple[int, ...] = ()) -> tuple[Group, ...]:
    """A recipient for each action; the positions `tagged` have an edit."""
    return tuple(
        Group((position,), Decision(action, f"rule {position}", TAG if position in tagged else ()))
        for position, action in enumerate(actions)
    )


def fates(made: Plan) -> list[tuple[bool, str, tuple[bytes, ...]]]:
    """Whether each recipient stays, the area and the addresses of its share."""
    found = {one: (share.stays, share.area, share.to) for share in made.shares for one in share.group.recipients}
    return [found[position] for position in sorted(found)]


STAYS = (True, "", ())


@pytest.mark.parametrize(
    ("actions", "tagged", "answer", "expected"),
    [
        ((ACCEPT, ACCEPT), (), ACCEPT, []),
        ((REJECT, REJECT), (), REJECT, []),
        ((REJECT, OTHER_REJECT), (), REJECT, []),
        ((QUARANTINE, QUARANTINE), (), QUARANTINE, []),
        ((ACCEPT, TEMPFAIL), (), TEMPFAIL, []),
        ((REJECT, TEMPFAIL), (), TEMPFAIL, []),
        ((ACCEPT, REJECT), (), ACCEPT, [STAYS, (False, "refused", ())]),
        ((ACCEPT, QUARANTINE), (), ACCEPT, [STAYS, (False, "macros", ())]),
        ((DROP, ACCEPT), (), ACCEPT, [(False, "", ()), STAYS]),
        ((REJECT, QUARANTINE), (), QUARANTINE, [(False, "refused", ()), (False, "macros", ())]),
        ((REJECT, DROP), (), DROP, [(False, "refused", ()), (False, "", ())]),
        ((DROP, REDIRECT), (), REDIRECT, [(False, "", ()), (False, "", OTHERS)]),
        ((REDIRECT, REDIRECT), (), REDIRECT, [(False, "", OTHERS)] * 2),
        ((COPY, COPY), (), COPY, [(True, "", OTHERS)] * 2),
        ((COPY, ACCEPT), (), COPY, [(True, "", OTHERS), STAYS]),
        ((ACCEPT, ACCEPT), (1,), ACCEPT, [STAYS, (False, "", NAMES[1:2])]),
        ((ACCEPT, COPY), (1,), ACCEPT, [STAYS, (False, "", (*NAMES[1:2], *OTHERS))]),
        ((ACCEPT, HOLD), (), HOLD, [(False, "", NAMES[:1]), STAYS]),
        ((ACCEPT, HOLD, REJECT), (), HOLD, [(False, "", NAMES[:1]), STAYS, (False, "refused", ())]),
        ((ACCEPT, ACCEPT, ACCEPT), (1, 2), ACCEPT, [STAYS, (False, "", NAMES[1:2]), (False, "", NAMES[2:3])]),
    ],
)
def test_each_recipient_has_its_own_decision(
    actions: tuple[Action, ...], tagged: tuple[int, ...], answer: Action, expected: list[object]
) -> None:
    """The client has one answer; a share is made for all who do not only stay in the message."""
    made = plan(RecipientMode.EACH, envelope(len(actions)), groups(*actions, tagged=tagged))
    assert (made.decision.action, fates(made)) == (answer, expected)


def test_most_recipients_stay() -> None:
    """Of the sets of edits that of most recipients needs no copy."""
    plain, tagged = Decision(ACCEPT, "plain"), Decision(ACCEPT, "tagged", TAG)
    made = plan(RecipientMode.EACH, envelope(3), (Group((0,), plain), Group((1, 2), tagged)))
    assert made.decision == tagged._replace(recipients=(RemoveRecipient(NAMES[0]),))
    assert made.shares == (Share(Group((0,), plain), to=NAMES[:1]), Share(Group((1, 2), tagged), stays=True))


@pytest.mark.parametrize("mode", [RecipientMode.STRICTEST, RecipientMode.SPLIT_AT_RCPT])
@pytest.mark.parametrize(
    ("actions", "tagged", "answer"),
    [
        ((ACCEPT, REJECT, TEMPFAIL), (), REJECT),
        ((ACCEPT, TEMPFAIL, QUARANTINE), (), TEMPFAIL),
        ((HOLD, QUARANTINE, ACCEPT), (), QUARANTINE),
        ((DROP, HOLD), (), HOLD),
        ((COPY, DROP), (), Discard("refused")),
        ((Discard("b"), ACCEPT), (), Discard("b")),
        ((ACCEPT, COPY), (), COPY),
        ((ACCEPT, ACCEPT), (1,), ACCEPT),
        ((DROP, DROP), (), DROP),
    ],
)
def test_the_strictest_decides_for_all(
    mode: RecipientMode, actions: tuple[Action, ...], tagged: tuple[int, ...], answer: Action
) -> None:
    """Nobody receives what is refused to another, and nothing is dropped that only another one drops."""
    made = plan(mode, envelope(len(actions)), groups(*actions, tagged=tagged))
    assert (made.decision.action, made.decision.recipients) == (answer, ())
    assert made.decision.edits == (TAG if tagged else ())
    assert [share.group.recipients for share in made.shares] == ([(*range(len(actions)),)] if answer is COPY else [])


@pytest.mark.parametrize(
    "fields", [{"editable": False}, {"destinations": ()}, {"recipients": (NAMES[0], b"<\xff@example.test>")}]
)
def test_an_mta_that_edits_no_recipients_has_the_strictest(fields: dict[str, Any]) -> None:
    """So has an address that libmilter cannot carry."""
    made = plan(RecipientMode.EACH, envelope(2, **fields), groups(ACCEPT, REJECT))
    assert made == Plan(groups(ACCEPT, REJECT)[1].decision)


def test_an_incomplete_message_has_the_strictest() -> None:
    """Neither a copy nor an entry could be made of it, today or at a retry."""
    made = plan(RecipientMode.EACH, envelope(2), groups(ACCEPT, REJECT), whole=False)
    assert made == Plan(groups(ACCEPT, REJECT)[1].decision)


BOX = ("local", "", "box0")


@pytest.mark.parametrize(
    ("removed", "kept", "again"),
    [
        (BOX, BOX, True),
        (BOX, ("LOCAL", "", "Box0"), True),
        (BOX, ("local", "", "box1"), False),
        (BOX, ("esmtp", "example.test.", "box0"), False),
        (BOX, ("", "", ""), True),
        (("", "", ""), BOX, True),
        (("local", "", ""), BOX, True),
    ],
)
def test_a_recipient_of_the_same_mailbox_is_added_again(
    removed: tuple[str, str, str], kept: tuple[str, str, str], *, again: bool
) -> None:
    """A removal would remove it as well; where a target is unknown it might."""
    destinations = (Destination((), removed), Destination((b"NOTIFY=NEVER",), kept))
    made = plan(RecipientMode.EACH, envelope(2, destinations=destinations), groups(REJECT, ACCEPT))
    added = (AddRecipient(NAMES[1], (b"NOTIFY=NEVER",)),) if again else ()
    assert made.decision.recipients == (RemoveRecipient(NAMES[0]), *added)


def test_an_address_that_is_named_twice_is_edited_once() -> None:
    """A client may repeat a recipient; the removals come first."""
    twice = (NAMES[0], NAMES[0], NAMES[1], NAMES[1])
    destinations = (Destination((), BOX),) * 4
    decisions = groups(REJECT, ACCEPT)
    shares = (Group((0, 1), decisions[0].decision), Group((2, 3), decisions[1].decision))
    made = plan(RecipientMode.EACH, envelope(4, recipients=twice, destinations=destinations), shares)
    assert made.decision.recipients == (RemoveRecipient(NAMES[0]), AddRecipient(NAMES[1]))


@st.composite
def partitions(draw: st.DrawFn) -> tuple[int, tuple[Group, ...]]:
    """A number of recipients, and decisions for classes of them."""
    number = draw(st.integers(1, 4))
    classes = draw(st.lists(st.integers(0, 3), min_size=number, max_size=number))
    made = []
    for one in dict.fromkeys(classes):
        decision = Decision(draw(st.sampled_from(ACTIONS)), f"rule {one}", draw(st.sampled_from([(), TAG])))
        made.append(Group(tuple(place for place, other in enumerate(classes) if other == one), decision))
    return number, tuple(made)


@given(given=partitions(), mode=st.sampled_from(RecipientMode), editable=st.booleans(), whole=st.booleans())
def test_no_recipient_is_lost(
    given: tuple[int, tuple[Group, ...]], mode: RecipientMode, *, editable: bool, whole: bool
) -> None:
    """Each is refused with the message, or has exactly one share, by which only its own decision drops its mail."""
    number, those = given
    made = plan(mode, envelope(number, editable=editable), those, whole=whole)
    action, own = made.decision.action, {one: group.decision for group in those for one in group.recipients}
    assert made == plan(mode, envelope(number, editable=editable), those, whole=whole)
    if not made.shares:
        dropped = isinstance(action, Discard) and not action.area
        assert not dropped or all(decision.action == action for decision in own.values())
        return
    assert not isinstance(action, Reject | TempFail)
    assert sorted(one for share in made.shares for one in share.group.recipients) == [*range(number)]
    removed = {edit.address for edit in made.decision.recipients if isinstance(edit, RemoveRecipient)}
    nobody_stays = not any(share.stays for share in made.shares)
    assert nobody_stays is isinstance(action, Quarantine | Discard | Redirect)
    for share in made.shares:
        decision = share.group.decision
        assert share.stays or nobody_stays or {NAMES[one] for one in share.group.recipients} <= removed
        assert not (share.stays and removed & {NAMES[one] for one in share.group.recipients})
        if share.stays:
            assert isinstance(decision.action, Accept | Copy | Hold)
            assert decision.edits == made.decision.edits or isinstance(action, Hold)
        else:
            assert share.area or share.to or decision.action == DROP
