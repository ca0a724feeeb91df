"""What an entry of a list matches, and what it makes of a verdict."""

from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from miltscan.core.lists import Consultation, ListEntry, ListName, Lists, ListScope, ListStanding, described
from miltscan.core.message import Client, Envelope, Message
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from tests.fakes.list_entries import listed
from tests.fakes.messages import message

VIRUS, SUSPICION = "Win.Test.X-1", "Heuristics.Phishing.Email.SpoofedDomain"
DIGEST = "5a" * 32
CLIENT = ip_network("192.0.2.0/24")


def consulted(*entries: ListEntry, mail: Message | None = None, now: float = 100.0, **options: Any) -> Consultation:  # noqa: ANN401 - passed on
    """These entries, asked about a message with the digest DIGEST."""
    return Consultation(Lists(entries), mail or message(), now, lambda: DIGEST, **options)


def standing(lists: Consultation, *verdicts: Verdict, filtered: bool = False) -> ListStanding:
    """What the lists make of a message with these verdicts, for all its recipients."""
    (one,) = lists.standings(verdicts, filtered=filtered)
    return one


def after(lists: Consultation, verdict: Verdict) -> Verdict:
    """What the lists make of one verdict."""
    return standing(lists, verdict).verdicts[0]


def outcome_of(entry: ListEntry, signature: str, **options: Any) -> Outcome:  # noqa: ANN401 - passed on
    """What the entry makes of a detection."""
    return after(consulted(entry, **options), Verdict.infected("clamd", signature)).outcome


@pytest.mark.parametrize(
    ("fields", "of_virus", "of_suspicion"),
    [
        ({"signature": VIRUS}, Outcome.UNSCANNED, Outcome.INFECTED),
        ({"signature": SUSPICION}, Outcome.INFECTED, Outcome.CLEAN),
        ({"signature": VIRUS.lower()}, Outcome.INFECTED, Outcome.INFECTED),
        ({"signature": "Win.Test"}, Outcome.INFECTED, Outcome.INFECTED),
        ({"digest": DIGEST}, Outcome.UNSCANNED, Outcome.CLEAN),
        ({"digest": "5b" * 32}, Outcome.INFECTED, Outcome.INFECTED),
        ({"sender": "sender@example.org"}, Outcome.INFECTED, Outcome.CLEAN),
        ({"sender": "@example.org"}, Outcome.INFECTED, Outcome.CLEAN),
        ({"sender": ".org"}, Outcome.INFECTED, Outcome.CLEAN),
        ({"sender": "@other.example"}, Outcome.INFECTED, Outcome.INFECTED),
        ({"sender": "@example.org", "client": CLIENT}, Outcome.UNSCANNED, Outcome.CLEAN),
        ({"sender": "@example.org", "client": ip_network("198.51.100.0/24")}, Outcome.INFECTED, Outcome.INFECTED),
        ({"sender": "@example.org", "recipient": "@example.test"}, Outcome.INFECTED, Outcome.CLEAN),
        ({"sender": "@example.org", "authenticated": True}, Outcome.INFECTED, Outcome.INFECTED),
        ({"signature": VIRUS, "sender": "@example.org"}, Outcome.UNSCANNED, Outcome.INFECTED),
        ({"signature": VIRUS, "sender": "@other.example"}, Outcome.INFECTED, Outcome.INFECTED),
        ({"signature": VIRUS, "digest": DIGEST}, Outcome.UNSCANNED, Outcome.INFECTED),
        ({"signature": VIRUS, "digest": "5b" * 32}, Outcome.INFECTED, Outcome.INFECTED),
        ({"signature": VIRUS, "recipient": "user@example.test"}, Outcome.UNSCANNED, Outcome.INFECTED),
        ({"signature": VIRUS, "recipient": "@other.example"}, Outcome.INFECTED, Outcome.INFECTED),
        ({"signature": VIRUS, "until": 100.5}, Outcome.UNSCANNED, Outcome.INFECTED),
        ({"signature": VIRUS, "until": 100.0}, Outcome.INFECTED, Outcome.INFECTED),
    ],
)
def test_what_an_allow_entry_makes_of_a_detection(
    fields: dict[str, Any], of_virus: Outcome, of_suspicion: Outcome
) -> None:
    """A suspicion becomes clean, any other detection unscanned, and a sender alone allows no virus."""
    entry = listed(**fields)
    assert (outcome_of(entry, VIRUS), outcome_of(entry, SUSPICION)) == (of_virus, of_suspicion)


def test_an_allowed_detection_keeps_its_name() -> None:
    """Log, header and metric show what was found, and which entry allowed it."""
    lists = consulted(listed(list_id="7k2m9q4w", signature=VIRUS))
    verdict = after(lists, Verdict.infected("clamd", VIRUS, "unix:/a"))
    assert (verdict.signature, verdict.reason, verdict.allowed, verdict.server) == (
        VIRUS,
        Limit.ALLOWED,
        "7k2m9q4w",
        "unix:/a",
    )


@pytest.mark.parametrize(
    "verdict",
    [
        *(Verdict.unscanned("clamd", limit) for limit in Limit),
        *(Verdict.error("clamd", fault) for fault in Fault),
        Verdict.clean("clamd"),
    ],
    ids=lambda verdict: str(verdict.reason),
)
def test_no_entry_changes_what_is_no_detection(verdict: Verdict) -> None:
    """Not even one for this content, or for a client that is known."""
    entries = listed(digest=DIGEST), listed(sender="@example.org", client=CLIENT)
    assert after(consulted(*entries), verdict) is verdict


def test_authenticated_mail() -> None:
    """A user who has authenticated is no forger: the sender's entry allows viruses, too."""
    mail = message(envelope=Envelope(b"<sender@example.org>", (b"<user@example.test>",), authenticated=True))
    entry = listed(sender="@example.org", authenticated=True)
    assert outcome_of(entry, VIRUS, mail=mail) is Outcome.UNSCANNED


@pytest.mark.parametrize(
    ("recipients", "matches"),
    [
        ((b"<user@example.test>",), True),
        ((b"<user@example.test>", b"<OTHER@EXAMPLE.TEST>"), True),
        ((b"<user@example.test>", b"<user@other.example>"), False),
        ((), False),
    ],
)
def test_every_recipient_must_match(recipients: tuple[bytes, ...], matches: bool) -> None:  # noqa: FBT001 - a table
    """One recipient elsewhere makes the entry not apply; so do recipients that are not known yet, at MAIL."""
    mail = message(envelope=Envelope(b"<sender@example.org>", recipients))
    entry = listed("deny", sender="@example.org", recipient="@example.test")
    assert (standing(consulted(entry, mail=mail)).denied is entry) is matches


@pytest.mark.parametrize(
    ("recipients", "matches"),
    [
        ((b"<Postmaster>",), True),
        ((b"<postmaster@example.test>", b"<postmaster>"), True),
        ((b"<postmaster>", b"<user@example.test>"), False),
    ],
)
def test_a_user_of_any_domain(recipients: tuple[bytes, ...], matches: bool) -> None:  # noqa: FBT001 - a table
    """RCPT may name postmaster without one."""
    mail = message(envelope=Envelope(b"<sender@example.org>", recipients))
    entry = listed("deny", sender="@example.org", recipient="postmaster@")
    assert (standing(consulted(entry, mail=mail)).denied is entry) is matches


@pytest.mark.parametrize(
    ("address", "matches"),
    [
        ("192.0.2.1", True),
        ("::ffff:192.0.2.1", True),
        ("IPv6:::ffff:192.0.2.1", True),
        ("192.0.3.1", False),
        ("2001:db8::1", False),
        ("local", False),
        ("unknown", False),
        ("192.0.2.1\x00", False),
    ],
)
def test_the_network_of_a_client(address: str, matches: bool) -> None:  # noqa: FBT001 - a table
    """An address that is none matches no network."""
    mail = message(client=Client("x", address))
    assert (outcome_of(listed(signature=VIRUS, client=CLIENT), VIRUS, mail=mail) is Outcome.UNSCANNED) is matches


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"sender": "@example.org"}, True),
        ({"digest": DIGEST}, True),
        ({"digest": DIGEST, "sender": "@other.example"}, False),
        ({"signature": VIRUS}, False),
        ({"sender": "@example.org", "until": 50.0}, False),
    ],
)
def test_clean_mail_is_denied_by_sender_or_content(fields: dict[str, Any], matches: bool) -> None:  # noqa: FBT001 - a table
    """Only a detection has a signature."""
    assert bool(standing(consulted(listed("deny", **fields)), Verdict.clean("clamd")).denied) is matches


def test_a_detection_is_denied_although_it_is_allowed() -> None:
    """The deny list comes first."""
    allow, deny = listed(list_id="11111111", signature=VIRUS), listed("deny", "22222222", signature=VIRUS)
    assert standing(consulted(allow, deny), Verdict.infected("clamd", VIRUS)).denied is deny


def test_an_incomplete_message_has_no_digest() -> None:
    """The digest of a part of a message must not stand for the whole."""
    mail = message(settled=Verdict.unscanned("session", Limit.TOO_LARGE))
    assert standing(consulted(listed("deny", digest=DIGEST), mail=mail)).denied is None


@pytest.mark.parametrize(
    ("fields", "matches"),
    [
        ({"signature": VIRUS}, True),
        ({"signature": VIRUS, "sender": "@example.org"}, True),
        ({"signature": VIRUS, "client": CLIENT}, False),
        ({"signature": VIRUS, "recipient": "@example.test"}, False),
        ({"signature": VIRUS, "authenticated": True}, False),
        ({"sender": "@example.org", "client": CLIENT}, False),
        ({"digest": DIGEST}, False),
    ],
)
def test_at_the_delivery_side_only_signatures_count(fields: dict[str, Any], matches: bool) -> None:  # noqa: FBT001 - a table
    """Client, recipients and authentication are those of the incoming sendmail there."""
    mail = message(envelope=Envelope(b"<sender@example.org>", (b"<user@example.test>",), authenticated=True))
    found = outcome_of(listed(**fields), VIRUS, mail=mail, scope=ListScope.DELIVERY)
    assert found is (Outcome.UNSCANNED if matches else Outcome.INFECTED)
    deny = consulted(listed("deny", **fields), mail=mail, scope=ListScope.DELIVERY)
    assert bool(standing(deny, Verdict.infected("clamd", VIRUS)).denied) is matches


def test_the_digest_is_made_once_and_only_if_a_list_names_one() -> None:
    """It costs a pass over the message."""
    made: list[int] = []

    def hashed() -> str:
        made.append(1)
        return DIGEST

    for entries, expected in (((listed(signature=VIRUS),), 0), ((listed(digest="5b" * 32),), 1)):
        made.clear()
        lists = Consultation(Lists(entries), message(), 0.0, hashed)
        lists.standings([Verdict.infected("clamd", VIRUS), Verdict.infected("b", VIRUS)], filtered=True)
        assert len(made) == expected


def test_an_entry_in_words() -> None:
    """All that it names is shown."""
    entry = listed(signature=VIRUS, digest=DIGEST, sender="@a", recipient="@b", client=CLIENT, authenticated=True)
    assert described(entry) == (
        f"signature {VIRUS}, sha256 {DIGEST}, sender @a, for @b, client 192.0.2.0/24, authenticated"
    )


NAMES = st.sampled_from([VIRUS, SUSPICION, "Other.X", "@example.org", DIGEST, "<>", "unnamed"])
PATTERNS = st.sampled_from(["sender@example.org", "@example.org", ".org", "<>", "@other.example"])
ENTRIES: st.SearchStrategy[ListEntry] = st.builds(
    listed,
    st.sampled_from([*ListName]),
    signature=st.one_of(st.just(""), NAMES),
    digest=st.sampled_from(["", DIGEST, "5b" * 32]),
    sender=st.one_of(st.just(""), PATTERNS),
    recipient=st.sampled_from(["", "@example.test", "@other.example"]),
    client=st.sampled_from([None, CLIENT, ip_network("198.51.100.0/24")]),
    authenticated=st.booleans(),
    until=st.sampled_from([None, 50.0, 150.0]),
).filter(lambda entry: bool(entry.signature or entry.digest or entry.sender))
MAILS = st.builds(
    lambda sender, recipients, authenticated: message(envelope=Envelope(sender, recipients, authenticated)),
    st.sampled_from([b"<sender@example.org>", b"<>", b"<x@y>"]),
    st.sampled_from([(b"<user@example.test>",), (b"<user@example.test>", b"<b@other.example>"), ()]),
    st.booleans(),
)
VERDICTS = st.one_of(
    st.builds(Verdict.infected, st.just("clamd"), NAMES),
    st.builds(Verdict.unscanned, st.just("clamd"), st.sampled_from([*Limit])),
    st.builds(Verdict.error, st.just("clamd"), st.sampled_from([*Fault])),
    st.just(Verdict.clean("clamd")),
)


@given(st.lists(ENTRIES, max_size=6), MAILS, VERDICTS, st.sampled_from([ListScope.WHOLE, ListScope.DELIVERY]))
def test_nothing_passes_that_no_entry_names(
    entries: list[ListEntry],
    mail: Message,
    verdict: Verdict,
    scope: ListScope,
) -> None:
    """A verdict that changes is a detection, and one entry that is in force names it, by every term that it has."""
    allowed = after(consulted(*entries, mail=mail, scope=scope), verdict)
    if allowed == verdict:
        return
    assert verdict.outcome is Outcome.INFECTED
    name = str(verdict.signature)
    assert allowed.outcome is (Outcome.CLEAN if name.startswith("Heuristics.") else Outcome.UNSCANNED)
    assert any(naming(entry, mail, name, at_delivery=scope is ListScope.DELIVERY) for entry in entries)


def naming(entry: ListEntry, mail: Message, name: str, *, at_delivery: bool) -> bool:
    """Whether the entry allows the detection, told without the code under test."""
    envelope = mail.envelope
    senders = {b"<sender@example.org>": {"sender@example.org", "@example.org", ".org"}, b"<>": {"<>"}}
    terms = (
        entry.list is ListName.ALLOW,
        entry.signature in {"", name},
        entry.digest in {"", DIGEST},
        not entry.sender or entry.sender in senders.get(envelope.sender, set()),
        not entry.recipient or (entry.recipient == "@example.test" and len(envelope.recipients) == 1),
        entry.client in {None, CLIENT},
        not entry.authenticated or envelope.authenticated,
        entry.until is None or entry.until > 100,
        (
            bool(entry.signature or entry.digest or entry.client or entry.authenticated)
            or name.startswith("Heuristics.")
        ),
        (not at_delivery or (bool(entry.signature) and not (entry.recipient or entry.client or entry.authenticated))),
    )
    return all(terms)


@given(st.lists(ENTRIES, max_size=6), MAILS, VERDICTS)
def test_a_restriction_only_takes_mail_away(entries: list[ListEntry], mail: Message, verdict: Verdict) -> None:
    """Without the last entry no more is allowed than with it."""
    assume(entries)
    fewer = after(consulted(*entries[:-1], mail=mail), verdict)
    assert fewer == verdict or after(consulted(*entries, mail=mail), verdict) == fewer


@given(st.lists(ENTRIES, max_size=6), MAILS, st.lists(VERDICTS, max_size=3), st.booleans())
def test_each_recipient_stands_as_if_alone(
    entries: list[ListEntry],
    mail: Message,
    verdicts: list[Verdict],
    filtered: bool,  # noqa: FBT001 - drawn
) -> None:
    """With lists for each recipient another one beside it changes nothing, and nobody is left out."""
    standings = consulted(*entries, mail=mail, scope=ListScope.EACH).standings(verdicts, filtered=filtered)
    recipients = mail.envelope.recipients
    assert sorted(position for one in standings for position in one.positions) == [*range(len(recipients))]
    for one in standings:
        for position in one.positions:
            alone = mail._replace(envelope=mail.envelope._replace(recipients=(recipients[position],)))
            lists = consulted(*entries, mail=alone)
            assert one._replace(positions=(0,)) == standing(lists, *verdicts, filtered=filtered)


TWO = message(envelope=Envelope(b"<sender@example.org>", (b"<user@example.test>", b"<b@other.example>")))


def test_lists_of_each_recipient() -> None:
    """The entry of one recipient does not change what another receives, and those who stand alike are together."""
    allow = listed(signature=VIRUS, recipient="@example.test")
    deny = listed("deny", sender=".org", recipient="@b.example")
    found, other = Verdict.infected("a", VIRUS), Verdict.clean("b")
    lists = consulted(allow, deny, mail=TWO, scope=ListScope.EACH)
    assert lists.standings((found, other), filtered=False) == (
        ListStanding((0,), (found.allowed_by("00000000", complete=False), other)),
        ListStanding((1,), (found,)),
    )
    assert lists.standings((other,), filtered=False) == (ListStanding((0, 1), (other,)),)
    assert lists.passes(found)
    assert not lists.passes(Verdict.infected("a", "Other.X"))


@pytest.mark.parametrize(
    ("fields", "exempt"),
    [
        ({"sender": "@example.org"}, True),
        ({"digest": DIGEST}, True),
        ({"sender": "@example.org", "client": CLIENT}, True),
        ({"sender": "@other.example"}, False),
        ({"signature": VIRUS}, False),
        ({"signature": VIRUS, "sender": "@example.org"}, False),
    ],
)
def test_who_is_exempt_from_spam(fields: dict[str, Any], exempt: bool) -> None:  # noqa: FBT001 - a table
    """Whom an entry names by sender or content; a signature is no opinion about spam."""
    lists, clean = consulted(listed(**fields)), Verdict.clean("clamd")
    assert bool(standing(lists, clean, filtered=True).exempt) is exempt
    assert standing(lists, clean).exempt is None
