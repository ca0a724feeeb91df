"""Decisions at MAIL and RCPT: only those that nothing that follows could change."""

from typing import Any

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from miltscan.core.action import Accept, Reject, TempFail
from miltscan.core.early import refuses_at_rcpt, ruled_at_mail, ruled_at_rcpt
from miltscan.core.facts import WeekTime
from miltscan.core.message import Client, Envelope, Message
from miltscan.core.ruled import Ruling, Scanned, rule_on
from miltscan.core.session import too_large
from miltscan.core.verdict import Verdict
from miltscan.errors import ConfigError
from tests.fakes.messages import message
from tests.unit.core.test_ruled import ruled

PROBED = "probe@localhost"
PRIVATE = Client("client.example", "10.0.0.1")
REFUSED = '[[rule]]\nname = "r"\nwhen = {{ {} }}\naction = "reject"\n{}'
INFECTED_FIRST = '[[rule]]\nname = "first"\nwhen = {{ {} }}\naction = "accept"\n'


def arriving(recipient: bytes = b"<a@example.test>", **fields: Any) -> Message:  # noqa: ANN401 - any field
    """A message at RCPT."""
    return message(**{"envelope": Envelope(b"<s@example.org>", (recipient,), local=True), "size": 0} | fields)


def at_rcpt(rules: str, one: Message | None = None) -> Ruling | None:
    """The ruling on the recipient."""
    return ruled_at_rcpt(ruled(rules), PROBED, one or arriving())


@pytest.mark.parametrize(
    ("conditions", "refused"),
    [
        ('recipient = "@example.test"', True),
        ('recipient = "@other.test"', False),
        ('sender = "s@example.org", client = "192.0.2.0/24"', True),
        ("authenticated = false, tls = false", True),
        ('recipient = "@example.test", outcome = "clean"', False),
        ('recipient = "@example.test", size_from = "0B"', False),
        ('recipient = "@example.test", time = "00:00-23:59"', False),
        ('header = { "X-A" = "*" }', False),
    ],
)
def test_a_rule_about_the_envelope_refuses_at_rcpt(conditions: str, refused: bool) -> None:  # noqa: FBT001 - a table
    """One that reads anything else waits."""
    ruling = at_rcpt(REFUSED.format(conditions, ""))
    assert bool(ruling) is refused
    if ruling:
        assert isinstance(ruling.decision.action, Reject)
        assert str(ruling.decision.reply) == "550 5.7.1 Message not accepted here [r] (5AMEkX012345)"


@pytest.mark.parametrize(
    ("first", "refused"),
    [('outcome = "infected"', False), ('recipient = "@other.test", outcome = "infected"', True)],
)
def test_a_rule_before_it_that_may_still_match_keeps_it_waiting(first: str, refused: bool) -> None:  # noqa: FBT001
    """Not one that this recipient settles."""
    rules = INFECTED_FIRST.format(first) + REFUSED.format('recipient = "a@example.test"', "")
    assert bool(at_rcpt(rules)) is refused
    observed = rules.replace('"accept"', '"accept"\nenforce = false')
    assert at_rcpt(observed)


@pytest.mark.parametrize(
    ("client", "local", "direction", "refused"),
    [
        (PRIVATE, True, "internal", False),  # one more recipient may be elsewhere
        (PRIVATE, False, "outbound", True),
        (PRIVATE, True, "outbound", False),
        (Client("x.example", "8.8.8.8"), True, "inbound", True),
        (Client("x.example", "8.8.8.8"), False, "outbound", False),
    ],
)
def test_the_direction_counts_once_it_cannot_change(client: Client, local: bool, direction: str, refused: bool) -> None:  # noqa: FBT001
    """The mail of private clients is internal until a recipient is elsewhere."""
    one = arriving(client=client, envelope=Envelope(b"<s@example.org>", (b"<a@example.test>",), local=local))
    assert bool(at_rcpt(REFUSED.format(f'direction = "{direction}"', ""), one)) is refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no {recipient} for {sender} from {client} ({rule})", "no <a@example.test> for <s@example.org> from"),
        ("{signature}", None),
        ("{size} bytes", None),
    ],
)
def test_a_text_that_names_the_content_waits(text: str, expected: str | None) -> None:
    """The others are filled."""
    ruling = at_rcpt(REFUSED.format('recipient = "a@example.test"', f'text = "{text}"'))
    assert (str(ruling.decision.reply)[10 : 10 + len(expected)] if ruling and expected else ruling) == expected


@pytest.mark.parametrize("action", ["accept", "discard", "quarantine"])
def test_only_a_refusal_is_an_answer_to_rcpt(action: str) -> None:
    """Whatever else a rule does, it does with the message."""
    assert at_rcpt(REFUSED.format('recipient = "a@example.test"', "").replace('"reject"', f'"{action}"')) is None


def test_a_tempfail_and_what_would_have_decided() -> None:
    """Rules that are not enforced are named."""
    observed = '[[rule]]\nname = "o"\naction = "reject"\nenforce = false\n'
    ruling = at_rcpt(observed + REFUSED.format('sender = "@example.org"', "").replace("reject", "tempfail"))
    assert ruling
    assert isinstance(ruling.decision.action, TempFail)
    assert (ruling.decision.rule, ruling.observed) == ("r", ("o",))


@pytest.mark.parametrize("address", [b"<probe@localhost>", b"<Probe@LOCALHOST>", b"probe@localhost"])
def test_a_probe_reaches_its_end(address: bytes) -> None:
    """Where it is refused with its proof."""
    assert at_rcpt('[[rule]]\nname = "all"\naction = "reject"', arriving(address)) is None
    assert at_rcpt('[[rule]]\nname = "all"\naction = "reject"', arriving(b"<probe@localhost.example>"))


@pytest.mark.parametrize(
    ("rules", "needed"),
    [
        ("", False),
        (REFUSED.format('outcome = "infected"', ""), False),
        (REFUSED.format('recipient = "@a.test", outcome = "infected"', ""), False),
        (REFUSED.format('recipient = "@a.test"', ""), True),
        (REFUSED.format('recipient = "@a.test"', "enforce = false"), False),
        (REFUSED.format('recipient = "@a.test"', 'text = "{size}"'), False),
        (REFUSED.format('recipient = "@a.test"', 'unless = { size_to = "1KiB" }'), False),
        (REFUSED.format('recipient = "@a.test"', "").replace("reject", "hold"), False),
        (INFECTED_FIRST.format('outcome = "infected"') + REFUSED.format('recipient = "@a.test"', ""), False),
        (INFECTED_FIRST.format('sender = "@b.test", size_to = "1B"') + REFUSED.format('user = "x"', ""), True),
    ],
)
def test_when_answers_to_rcpt_are_needed(rules: str, needed: bool) -> None:  # noqa: FBT001 - a table
    """They cost every recipient a round trip."""
    assert refuses_at_rcpt(ruled(rules).rules) is needed


CONDITIONS = st.sampled_from(
    [
        'recipient = "@example.test"',
        'recipient = "@other.test"',
        'sender = "@example.org"',
        'client = "10.0.0.0/8"',
        'direction = "outbound"',
        'direction = "internal"',
        "authenticated = true",
        'outcome = "infected"',
        'size_from = "50B"',
        'header = { "X-A" = "1" }',
    ]
)
TABLES = st.lists(CONDITIONS, min_size=1, max_size=2, unique_by=lambda text: text.split()[0]).map(", ".join)
ACTIONS = st.sampled_from(["accept", "reject", "tempfail"])
RULES = st.lists(st.tuples(TABLES, ACTIONS), min_size=1, max_size=4)


@given(
    RULES,
    st.sampled_from([PRIVATE, Client("m.example", "8.8.8.8")]),
    st.booleans(),
    st.sampled_from([Verdict.clean("clamd"), Verdict.infected("clamd", "Eicar")]),
)
def test_the_end_of_the_message_would_decide_alike(
    chosen: list[tuple[str, str]],
    client: Client,
    local: bool,  # noqa: FBT001 - drawn
    verdict: Verdict,
) -> None:
    """What is refused at RCPT would be refused at the end by the same rule, whatever came; and it is announced."""
    text = "".join(
        f'[[rule]]\nname = "r{number}"\nwhen = {{ {table} }}\naction = "{action}"\n'
        for number, (table, action) in enumerate(chosen)
    )
    try:
        rules = ruled(text)
    except ConfigError:  # conditions that no message can meet together
        reject()
    one = arriving(client=client, envelope=Envelope(b"<s@example.org>", (b"<a@example.test>",), local=local))
    ruling = ruled_at_rcpt(rules, PROBED, one)
    if ruling:
        assert refuses_at_rcpt(rules.rules)
        for size in (10, 100):
            end = rule_on(
                rules, Scanned(one._replace(size=size, headers=[(b"X-A", b" 1")]), verdict, (), WeekTime(0, 0))
            )
            assert end.decision.rule == ruling.decision.rule


def announced(recipients: tuple[bytes, ...] = ()) -> Message:
    """A message at MAIL that announces 5,000 bytes, of which 1,000 are accepted."""
    envelope = Envelope(b"<s@example.org>", recipients, local=True, arguments=(b"SIZE=5000",))
    return message(envelope=envelope, size=0, settled=too_large(5000, 1000))


@pytest.mark.parametrize(
    ("conditions", "rule"),
    [
        ('reason = "too-large"', "r"),
        ('size_from = "4KiB"', "r"),
        ('size_from = "6KiB"', "policy.on_unscanned.too-large"),
        ('outcome = "infected"', "policy.on_unscanned.too-large"),
        ('sender = "@other.example"', "policy.on_unscanned.too-large"),
        ('outcome = "unscanned", recipient = "@example.test"', None),
        ('outcome = "unscanned", header = { "X-A" = "*" }', None),
    ],
)
def test_an_announced_size_is_decided_where_no_rule_could_decide_otherwise(conditions: str, rule: str | None) -> None:
    """By the rule, or by the policy behind it."""
    ruling = ruled_at_mail(ruled(REFUSED.format(conditions, "")), announced())
    assert (ruling and ruling.decision.rule) == rule
    if ruling and rule != "r":
        assert not isinstance(ruling.decision.action, Accept)


def test_the_text_at_mail() -> None:
    """It has the announced size; the recipient is not known yet."""
    large = REFUSED.format('reason = "too-large"', 'text = "{size} bytes, {outcome}"')
    ruling = ruled_at_mail(ruled(large), announced())
    assert ruling
    assert str(ruling.decision.reply) == "552 5.3.4 5000 bytes, unscanned (5AMEkX012345)"
    assert ruled_at_mail(ruled(large.replace("{size}", "{recipient}")), announced()) is None


def test_nothing_is_decided_at_mail_about_other_messages() -> None:
    """Only a size that is too large is a verdict at MAIL."""
    assert ruled_at_mail(ruled('[[rule]]\nname = "all"\naction = "reject"'), arriving()) is None
