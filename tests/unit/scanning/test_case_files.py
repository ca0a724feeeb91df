"""The cases of tests/corpus/decisions without a process: settings, session, the words of the engine, decision."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.action import Decision, Discard, Hold, Quarantine, Redirect
from miltscan.core.edits import edited
from miltscan.core.lists import Consultation, Lists
from miltscan.core.lookup import Check, Source
from miltscan.core.message import NO_CIRCUMSTANCES, PREFACE, Circumstances, Client, Destination, Envelope, Message
from miltscan.core.policy import decide
from miltscan.core.report import Group
from miltscan.core.ruled import Ruling, Scanned, rule_on, rule_on_standings
from miltscan.core.session import Session
from miltscan.core.split import Plan, Share, plan
from miltscan.core.verdict import Advice, Limit, Verdict
from miltscan.engines.antispam.engine import Question
from miltscan.engines.antispam.reply import Scored, SpamReply
from miltscan.engines.clamd.reply import Clean, Form, Found, parse_reply
from miltscan.engines.reply import Failed, Limited
from miltscan.engines.rspamd.reply import Honoured, parse_rspamd
from miltscan.engines.spamd.reply import parse_spamd
from miltscan.scanning.assemble import list_scope, policy_for, rules_for
from miltscan.scanning.spool import Spool
from miltscan.scanning.unwrapping import Unwrapping
from tests.fakes.messages import NoContent
from tests.harness import decisions
from tests.harness.decisions import Case, Fate

QUESTION = Question(Client("c", "192.0.2.1"), Envelope(b"<>"), NO_CIRCUMSTANCES, "", (), -1, 1)
LIMITS = {
    "(no answer)": Limit.TIMEOUT,
    "(fails its self-test)": Limit.NO_ENGINE,
    "(busy)": Limit.BUSY,
    "(unable)": Limit.ENGINE_UNABLE,
}


def verdict_on(engine: str, answer: str, kind: str) -> Verdict:
    """The verdict of this engine that follows from its words in a case."""
    if answer in LIMITS:
        return Verdict.unscanned(engine, LIMITS[answer])
    if kind != "clamd":
        words = decisions.antispam_words(answer)
        return opinion_of(
            engine, parse_spamd(words, 1) if kind == "spamd" else parse_rspamd(words, QUESTION, Honoured())
        )
    words = b"" if answer == "(closes)" else f"stream: {answer}\0".encode()
    match parse_reply(words, Form.STREAM):
        case Clean():
            return Verdict.clean(engine)
        case Found(signature):
            return Verdict.infected(engine, signature)
        case Limited(limit, detail):
            return Verdict.unscanned(engine, limit, detail)
        case Failed(fault, detail):
            return Verdict.error(engine, fault, detail)


def opinion_of(engine: str, reply: SpamReply) -> Verdict:
    """The verdict of an anti-spam engine with this reply."""
    match reply:
        case Scored():
            advice = Advice(reply.action, reply.threshold, reply.symbols)
            return Verdict.scored(engine, "", reply.score, advice, spam=reply.spam)
        case Limited(limit, detail):
            return Verdict.unscanned(engine, limit, detail)
        case Failed(fault, detail):
            return Verdict.error(engine, fault, detail)


def no_source(_text: str, _check: Check) -> Source:
    """The cases name no file."""
    raise AssertionError


def decided(case: Case, settings: Settings) -> Plan:
    """The decision at MAIL where it is a refusal, else the plan at the end of the message."""
    rules = rules_for(settings, no_source, verifies=case.at_delivery)
    policy = replace(policy_for(settings, "mx.example.test"), rules=rules)
    session = Session(Client(*case.client))
    sender = case.sender
    arguments = tuple(argument.encode() for argument in sender.arguments)
    announced = session.mail(
        sender.path.encode(), arguments, settings.limits.message_size, authenticated=bool(case.circumstances.user)
    )
    if announced and not rules and (refusal := decide(policy, made(session, announced), announced)).reply:
        return Plan(refusal)
    session.editable = True
    session.circumstances = case.circumstances
    for recipient in case.recipients:
        session.rcpt(recipient.encode(), local=case.local, destination=Destination((), ("local", "", recipient)))
    for name, value in case.headers:
        session.header(name, value)
    if case.body:
        session.body(case.body)
    session.eom()
    message = with_structure(made(session), case, settings)
    if message.settled:
        return planned(settings, message, rule_on(policy, Scanned(message, message.settled, (), case.now)))
    asked = zip(case.answers.items(), case.types, strict=False)
    verdicts = {engine: verdict_on(engine, answer, kind) for (engine, answer), kind in asked if answer != "(not asked)"}
    lists = Consultation(Lists(case.entries), message, 0.0, str, list_scope(settings, verifies=case.at_delivery))
    scanned = [one for engine, one in verdicts.items() if engine not in policy.filters]
    opinions = tuple(one for engine, one in verdicts.items() if engine in policy.filters)
    standings = [
        one if one.exempt else one._replace(verdicts=(*one.verdicts, *opinions))
        for one in lists.standings(scanned, filtered=bool(policy.filters))
    ]
    return planned(settings, message, rule_on_standings(policy, message, standings, case.now))


def with_structure(message: Message, case: Case, settings: Settings) -> Message:
    """The message with what rules ask about its attachments."""
    content = b"".join(b"%s:%s\r\n" % field for field in case.headers) + b"\r\n" + case.body
    looks = any(one.looks_at_attachments for one in settings.rule)
    with TemporaryDirectory() as folder, closing(Spool(Path(folder), 1 << 20)) as spool:
        spool.write(PREFACE + content)
        whole = message._replace(content=spool, size=len(content))
        known, _ = Unwrapping(Path(folder), 1 << 20, 10, 1 << 20, 0, looks).of(whole).known(lambda: None)
    return message._replace(structure=known)


def planned(settings: Settings, message: Message, ruling: Ruling) -> Plan:
    """The plan for a ruling."""
    everybody = Group((*range(len(message.envelope.recipients)),), ruling.decision)
    return plan(settings.policy.recipients, message.envelope, ruling.groups or (everybody,))


def fates_of(case: Case, made: Plan) -> dict[str, Fate]:
    """What becomes of each recipient, and of other addresses."""
    fates: dict[str, Fate] = {}
    everybody = Group((*range(len(case.recipients)),), made.decision)
    for share in made.shares or (Share(everybody, stays=True),):
        decision = made.decision if share.stays else share.group.decision
        headers = [(name.decode(), value.decode()) for name, value in edited(case.headers, decision.edits)]
        own = [case.recipients[one] for one in share.group.recipients]
        fates |= {one.decode(): (decisions.DELIVERED, "", headers) for one in share.to}
        if share.stays:
            fates |= {one: (*fate_of(decision), headers) for one in own}
        elif share.area and not isinstance(decision.action, Discard):
            fates |= dict.fromkeys(own, (decisions.QUARANTINED, share.area, ()))
        elif isinstance(decision.action, Redirect | Discard):
            gone = decisions.REDIRECTED if isinstance(decision.action, Redirect) else decisions.DISCARDED
            fates |= dict.fromkeys(own, (gone, "", ()))
    return fates


def made(session: Session, settled: Verdict | None = None) -> Message:
    """What the session knows of its message."""
    return session.message("5AMEkX012345", b"<1@example.org>", NoContent(), settled)


def fate_of(decision: Decision) -> tuple[str, str]:
    """What becomes of the message, and why it is held."""
    if decision.reply:
        return decisions.REFUSED, ""
    match decision.action:
        case Discard():
            return decisions.DISCARDED, ""
        case Quarantine(area):
            return decisions.QUARANTINED, area
        case Hold(reason):
            return decisions.HELD, reason
    return decisions.DELIVERED, ""


@pytest.mark.parametrize("case", decisions.cases("unit"), ids=lambda case: case.name)
def test_case(case: Case) -> None:
    """The decision is the one that the file expects."""
    made = decided(case, parse_settings(case.configuration.encode(), case.name))
    decision = made.decision
    if case.expected.each:
        assert case.deviations_of_each(str(decision.reply or "250"), fates_of(case, made)) == []
        return
    headers = [(name.decode(), value.decode()) for name, value in edited(case.headers, decision.edits)]
    assert case.deviations(str(decision.reply or "250"), *fate_of(decision), headers) == []


CASE = """\
What it shows.
levels: unit milter - a reason

--- session
client: mx.example.org 192.0.2.7
circumstances: user=anna tls_version=TLSv1.3
MAIL FROM:<> SIZE=7 BODY=8BITMIME
RCPT TO:<a@example.test>

--- message
Subject: x

(100 bytes)

--- expected
250
held: why
X-Virus-Status: C*
"""


def test_a_case_is_read() -> None:
    """Each section is read, and what is left out has its default."""
    case = decisions.parse_case("name", CASE)
    assert case.levels == {"unit", "milter"}
    assert (case.client, case.configuration) == (("mx.example.org", "192.0.2.7"), "")
    assert [str(command) for command in case.commands] == [
        "MAIL FROM:<> SIZE=7 BODY=8BITMIME",
        "RCPT TO:<a@example.test>",
    ]
    assert case.circumstances == Circumstances(user="anna", tls_version="TLSv1.3")
    assert (case.headers, len(case.body) // 100, case.answers) == (((b"Subject", b" x"),), 1, {"clamd": "OK"})
    headers = [("Subject", " x"), ("X-Virus-Status", " Clean")]
    assert case.deviations("250 2.0.0 ok", "held", "why", headers) == []
    assert len(case.deviations("451 4.0.0 no", "held", "because", [*headers, *headers])) == 3


@pytest.mark.parametrize(
    ("old", "new", "mistake"),
    [
        ("--- expected\n", "", "expected sections in the order"),
        ("--- session\n", "--- engine\n", "expected sections in the order"),
        (" - a reason", "", "expected levels: unit milter e2e - REASON"),
        ("levels: unit", "levels: unity", "expected levels"),
        ("RCPT TO:<a@example.test>", "DATA", "expected client:, MAIL FROM: or RCPT TO:, got 'DATA'"),
        ("held: why", "held", "expected delivered, refused, discarded, held: REASON or quarantined: AREA, got 'held'"),
        ("held: why", "gone", "got 'gone'"),
        ("held: why", "<a@example.test>: gone", "got 'gone'"),
        ("MAIL FROM", "now: Sun 23:15\nMAIL FROM", "expected levels: unit with now: and side:"),
        ("MAIL FROM", "side: delivery\nMAIL FROM", "expected levels: unit with now: and side:"),
        ("levels: unit milter", "levels: e2e", "expected levels: unit milter with circumstances:"),
        ("--- session\n", "--- lists\nkeep sender=@a\n--- session\n", "expected allow or deny and KEY=VALUE"),
    ],
)
def test_a_mistake_in_a_case_is_named(old: str, new: str, mistake: str) -> None:
    """A case that is not understood is an error with the name of its file, not a test that passes."""
    with pytest.raises(ValueError, match=f"name: .*{mistake}"):
        decisions.parse_case("name", CASE.replace(old, new))
