"""Findings from the log and from replies; tests/e2e/test_doctor.py sends the messages."""

import os
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.action import Accept, Decision, Discard, Reject, Reply, TempFail
from miltscan.core.finding import Level
from miltscan.core.probe import Stage
from miltscan.doctor import send
from miltscan.doctor.expected import expectation
from miltscan.doctor.hops import HopEvents, follow_hops, hop_findings
from miltscan.doctor.send import clean_finding, infected_finding, open_log, queue_id
from miltscan.sandwich.submit import Submission
from miltscan.sandwich.transfer import ServerReply
from tests.unit.doctor.support import bad

INFECTED = "policy.on_infected"
REJECT = Decision(Reject(Reply(550, "5.7.1", "Virus found: Eicar")), INFECTED)
TEMPFAIL = Decision(TempFail(Reply(451, "4.7.1", "Virus found: Eicar")), INFECTED)
DISCARD, ACCEPT = Decision(Discard(), INFECTED), Decision(Accept(), "clean")
BY_RULE = Decision(Reject(Reply(550, "5.7.1", "not here [no mail]")), "no mail")
EXPECTS = expectation(parse_settings(b'lists.file = ""', "f"), "a@b.test")
GOLDEN = Path(__file__).parents[2] / "corpus" / "logs"
AA1 = "AAA00001"
LOG = """\
Nov 22 16:02:21 incoming[1]: AAA00001: from=<>, size=134, nrcpts=1, msgid=<a@example.org>, relay=localhost [127.0.0.1]
Nov 22 16:02:21 incoming[1]: AAA00001: Milter (miltscan) insert (0): header: X-Virus-Status:  Clean
Nov 22 16:02:21 incoming[2]: AAA00001: to=<postmaster>, dsn=2.0.0, stat=Sent (BBB00002 Message accepted for delivery)
Nov 22 16:02:21 delivery[3]: BBB00002: to=<postmaster>, delay=00:00:00, mailer=local, dsn=2.0.0, stat=Sent
""".splitlines()


def test_a_message_is_followed_through_both_logs() -> None:
    """The line of incoming with delivery's queue ID links the two."""
    hops = follow_hops(LOG, AA1)
    assert hops == HopEvents("Clean", "Sent (BBB00002 Message accepted for delivery)", "BBB00002", "Sent")
    assert hops.over
    assert follow_hops(LOG, AA1[:-1]) == follow_hops(LOG, AA1[1:]) == HopEvents("", "", "", "", logged=False)
    assert not follow_hops(LOG[:2], AA1).over
    assert not follow_hops(LOG[:3], AA1).over


def test_the_last_attempt_counts_and_a_reply_may_have_a_status() -> None:
    """A deferred message may be sent later; some versions put 2.0.0 before the queue ID."""
    line = "AAA00001: to=<a>, dsn=2.0.0, stat=Sent (2.0.0 CCC00003 Message accepted for delivery)"
    lines = [
        "AAA00001: to=<a>, dsn=4.0.0, stat=Deferred: Connection refused by [127.0.0.1]",
        line,
    ]
    assert follow_hops(lines[:1], AA1).over
    assert follow_hops(lines, AA1).delivery_id == "CCC00003"


@pytest.mark.parametrize(
    ("hops", "wrong"),
    [
        (HopEvents("Clean", "Sent (B ...)", "B", "Sent (in the mailbox)"), []),
        (HopEvents("", "Sent (B ...)", "B", "Sent"), []),
        (
            HopEvents("", "", "", "", logged=False),
            [("warning", "unknown: the log has no line of this message, so it is not the log of incoming")],
        ),
        (HopEvents("Clean", "", "", ""), [("error", "not in the log yet: it waits in the queue of incoming")]),
        (HopEvents("Clean", "Deferred: refused", "", ""), [("error", "stat=Deferred: refused")]),
        (
            HopEvents("Clean", "Sent (B ...)", "B", ""),
            [("warning", "B: not in the log yet: it waits in the queue of delivery")],
        ),
        (HopEvents("Clean", "Sent (B ...)", "B", "User unknown"), [("error", "B: stat=User unknown")]),
    ],
)
def test_each_hop_is_judged(hops: HopEvents, wrong: list[tuple[str, str]]) -> None:
    """The finding names the hop at which the message stopped, and the reason."""
    found = [one for one in hop_findings(hops, Path("/i.cf"), Path("/d.cf")) if one.level is not Level.OK]
    assert [(one.level, one.text) for one in found] == wrong
    assert all(one.remedy for one in found)


@pytest.mark.parametrize(
    ("reply", "decision", "level"),
    [
        (ServerReply(550, "5.7.1 Virus found: Eicar (A)"), REJECT, Level.OK),
        (ServerReply(554, "5.7.1 Command rejected"), REJECT, Level.ERROR),
        (ServerReply(451, "4.3.2 Please try again later"), REJECT, Level.ERROR),
        (ServerReply(451, "4.7.1 ..."), TEMPFAIL, Level.OK),
        (ServerReply(250, "2.0.0 A Message accepted"), REJECT, Level.ERROR),
        (ServerReply(250, "2.0.0 A Message accepted"), DISCARD, Level.OK),
        (ServerReply(0, "no reply"), REJECT, Level.ERROR),
        (ServerReply(550, "5.7.1 not here [rule] (A)"), BY_RULE, Level.OK),
        (ServerReply(250, "2.0.0 A Message accepted"), BY_RULE, Level.ERROR),
        (ServerReply(250, "2.0.0 A Message accepted"), None, Level.WARNING),
    ],
)
def test_the_reply_to_the_test_signature(reply: ServerReply, decision: Decision | None, level: Level) -> None:
    """It must be miltscan's reply by the rules or the policy; an accepted test signature is marked ACCEPTED."""
    finding = infected_finding(reply, decision)
    assert finding.level is level
    assert ("ACCEPTED" in finding.text) is (reply.code == 250 and decision in {REJECT, BY_RULE})


def test_the_reply_to_the_clean_message() -> None:
    """Any other reply than 250 is an error."""
    assert clean_finding(ServerReply(250, "2.0.0 A Message accepted for delivery"), ACCEPT).level is Level.OK
    assert clean_finding(ServerReply(250, "2.0.0 A Message accepted for delivery"), None).level is Level.OK
    assert [level for level, _ in bad([clean_finding(ServerReply(451, "4.7.1"), ACCEPT)])] == ["error"]


def test_a_clean_message_that_a_rule_refuses() -> None:
    """It is no fault, but the handoff is not tested."""
    found = clean_finding(ServerReply(550, "5.7.1 not here"), BY_RULE)
    assert (found.level, "as expected by no mail" in found.text) == (Level.WARNING, True)


def test_queue_ids() -> None:
    """A reply has the queue ID after an optional status; without one the text is in no log."""
    texts = ["2.0.0 AA1 Message accepted for delivery", "AA1 Message accepted for delivery", "ok"]
    assert [queue_id(ServerReply(250, text)) for text in texts] == ["AA1", "AA1", "no-queue-id"]


def test_only_new_lines_of_a_log_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing log is None; without a name the first of syslog's logs is opened."""
    file = tmp_path / "mail.log"
    assert open_log(file) is None
    file.write_text("old\n")
    monkeypatch.setattr(send, "MAIL_LOGS", (tmp_path / "absent", file))
    log, named = open_log(None), open_log(file)
    assert log is not None
    assert named is not None
    with file.open("a") as more:
        more.write("new\n")
    assert (log(), named()) == (["new"], ["new"])


def test_a_large_log_costs_only_its_new_lines(tmp_path: Path) -> None:
    """Of a sparse file of one tebibyte only the end is read, or memory would not suffice."""
    file = tmp_path / "mail.log"
    file.touch()
    os.truncate(file, 2**40)
    log = open_log(file)
    assert log is not None
    with file.open("a") as more:
        more.write("new\n")
    assert log() == ["new"]


def test_the_journal_is_read_where_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded export is read from now on; without a journal, or with a named log, there is none."""
    monkeypatch.setattr(send, "MAIL_LOGS", ())
    monkeypatch.setattr(send, "has_journal", lambda: False)
    assert open_log(None) is None
    monkeypatch.setattr(send, "has_journal", lambda: True)
    assert open_log(tmp_path / "absent") is None
    program = tmp_path / "journalctl"
    program.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\ncat {GOLDEN}/journal.export\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    log = open_log(None)
    assert log is not None
    assert follow_hops(log(), "6AMG9F89004499").handoff.startswith("Sent (")
    assert "--since=@" in (tmp_path / "asked").read_text()


def route(log: Path | None) -> send.Route:
    """A route to postmaster; nothing is sent there."""
    return send.Route(("h", 25), "postmaster", log, Path("/i.cf"), Path("/d.cf"))


@pytest.mark.parametrize(
    ("reply", "stage", "text", "remedy"),
    [
        (ServerReply(550, "5.1.1 User unknown"), Stage.ENVELOPE, "refuses the recipient postmaster", "newaliases"),
        (ServerReply(451, "4.3.2 Try again"), Stage.ENVELOPE, "451 4.3.2", "the log of incoming"),
        (ServerReply(0, "no reply: refused"), Stage.CONNECT, "no reply: refused", "the log of incoming"),
    ],
)
def test_a_message_that_cannot_be_sent_is_one_finding(
    monkeypatch: pytest.MonkeyPatch, reply: ServerReply, stage: Stage, text: str, remedy: str
) -> None:
    """The second message would fail in the same way, so it is not sent."""
    sent: list[object] = []

    def submit(*given: object) -> Submission:
        sent.append(given)
        return Submission(reply, stage, {})

    monkeypatch.setattr(send, "submit", submit)
    monkeypatch.setattr(send, "open_log", lambda _: None)
    (found,) = send.send_findings(route(None), EXPECTS)
    assert (found.level, text in found.text, remedy in found.remedy, len(sent)) == (Level.ERROR, True, True, 1)


def test_without_a_log_the_handoff_is_unknown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The warning names the option for a log."""
    replies = [ServerReply(250, "2.0.0 A Message accepted"), ServerReply(550, "5.7.1 Eicar")]
    monkeypatch.setattr(send, "submit", lambda *_: Submission(replies.pop(0), Stage.DATA, {}))
    found = [*send.send_findings(route(tmp_path / "absent"), EXPECTS)]
    assert [(one.level, one.remedy) for one in found if one.level is not Level.OK] == [
        ("warning", "name the log: --log FILE")
    ]
