"""Whom notices go to, and which are left after what the state file records."""

import pytest

from miltscan.core.message import Direction
from miltscan.quarantine.audience import (
    Addressee,
    AddresseeKey,
    Attempt,
    MailStep,
    Told,
    address_key,
    addressees,
    attempts,
    event,
    open_notices,
    stepped,
)
from miltscan.quarantine.entry import Event, Standing, State
from miltscan.quarantine.record import event_line, read_events
from tests.fakes.entries import ANN, BOB, NOW, entry

ADMINS = (b"root@example.org",)
BOTH = Told.of("both")


def addresses(found: list[Addressee]) -> list[tuple[bytes, bool]]:
    """The addressees as plain tuples."""
    return [(one.address, one.administrator) for one in found]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("none", []),
        ("recipients", [(ANN, False), (BOB, False)]),
        ("administrators", [(ADMINS[0], True)]),
        ("both", [(ADMINS[0], True), (ANN, False), (BOB, False)]),
    ],
)
def test_choices(word: str, expected: list[tuple[bytes, bool]]) -> None:
    """The setting of an area selects who is told."""
    assert addresses(addressees(entry(), Told.of(word), ADMINS)) == expected


@pytest.mark.parametrize("direction", Direction)
def test_strangers(direction: Direction) -> None:
    """Recipients of mail that leaves this host are told nothing; administrators are."""
    found = addresses(addressees(entry(direction=direction), BOTH, ADMINS))
    own = [(ANN, False), (BOB, False)] if direction in {"inbound", "internal"} else []
    assert found == [(ADMINS[0], True), *own]


def test_one_mail_for_one_address() -> None:
    """Two spellings of an address are one recipient; an administrator who is one, too, has both roles."""
    found = addressees(entry(recipients=(b"<Ann@example.org>", b"ann@EXAMPLE.ORG", *ADMINS)), BOTH, ADMINS)
    assert addresses(found) == [(ADMINS[0], True), (b"<Ann@example.org>", False), (ADMINS[0], False)]


def test_the_sender_is_told_nothing() -> None:
    """No mail goes to the sender, whoever else is told."""
    found = addressees(entry(sender=b"<sender@client.example>"), BOTH, ADMINS)
    assert all(address_key(addressee.address) != "sender@client.example" for addressee in found)


@pytest.mark.parametrize("sender", [b"", b"<>"])
def test_no_notice_about_a_notice(sender: bytes) -> None:
    """Nobody is told of a message from the empty sender: it may be one of ours."""
    assert open_notices(Standing(entry(sender=sender)), BOTH, ADMINS) == {}


def test_what_was_sent_is_not_left() -> None:
    """A notice is left until it is recorded; a refused one is left for later, longer each time."""
    ann, bob, root = Addressee(ANN, False), Addressee(BOB, False), Addressee(ADMINS[0], True)  # noqa: FBT003
    events = [
        event(MailStep.SENDING, ann, NOW),
        event(MailStep.SENT, ann, NOW, "250 ok"),
        event(MailStep.SENDING, root, NOW),
    ]
    standing = Standing(entry(), tuple(events))
    assert open_notices(standing, BOTH, ADMINS) == {bob: NOW}
    for number, pause in enumerate((300, 600, 1200, 2400, 3600, 3600), 1):
        events += [event(MailStep.SENDING, bob, NOW + number), event(MailStep.REFUSED, bob, NOW + number, "450 later")]
        assert open_notices(Standing(entry(), tuple(events)), BOTH, ADMINS) == {bob: NOW + number + pause}
    events += [event(MailStep.SENDING, bob, NOW), event(MailStep.DOUBTFUL, bob, NOW)]
    assert open_notices(Standing(entry(), tuple(events)), BOTH, ADMINS) == {}


def test_a_sent_mail_is_never_left_for_another_try() -> None:
    """Only a certain refusal allows another attempt."""
    assert [step for step in MailStep if Attempt(step, NOW, 1).again is not None] == [MailStep.REFUSED]
    assert stepped(None, MailStep.SENDING, NOW) == Attempt(MailStep.SENDING, NOW, 1)


def test_the_events_survive_the_state_file() -> None:
    """What is recorded is read again, for recipients and administrators; an unknown word counts as sent."""
    written = [
        event(MailStep.REFUSED, Addressee(ANN, administrator=False), NOW, "550 no"),
        event(MailStep.SENDING, Addressee(ADMINS[0], administrator=True), NOW),
        Event(NOW, "keeper", recipients=(BOB,), notice="telepathy"),
    ]
    found = attempts(read_events([event_line(one).rstrip() for one in written]))
    assert found[AddresseeKey(administrator=False, address="ann@example.com")].step is MailStep.REFUSED
    assert found[AddresseeKey(administrator=True, address="root@example.org")].step is MailStep.SENDING
    assert found[AddresseeKey(administrator=False, address="bob@example.org")].step is MailStep.SENT


def test_the_state_does_not_change() -> None:
    """An event about a notice changes the state of no recipient."""
    told = [event(step, Addressee(ANN, administrator=False), NOW) for step in MailStep]
    told += [event(step, Addressee(ANN, administrator=True), NOW) for step in MailStep]
    assert Standing(entry(), tuple(told)).states == {ANN: State.STORED, BOB: State.STORED}


def test_what_was_released_is_no_news() -> None:
    """Who has the message already, or cannot get it any more, receives no notice; the others do."""
    released = tuple(Event(NOW, "jo", state, (ANN,)) for state in (State.RELEASING, State.RELEASED))
    found = open_notices(Standing(entry(), released), Told.of("recipients"), ADMINS)
    assert [addressee.address for addressee in found] == [BOB]
    deleted = (Event(NOW, "jo", State.DELETED),)
    assert open_notices(Standing(entry(), deleted), BOTH, ADMINS) == {}
