"""What is made of the log and of replies; the sending itself is tested with the real sandwich."""

import os
from pathlib import Path

import pytest

from miltscan.core.action import ActionName
from miltscan.core.finding import Level
from miltscan.doctor import send
from miltscan.doctor.hops import HopEvents, follow_hops, hop_findings
from miltscan.doctor.send import clean_finding, infected_finding, open_log, queue_id
from miltscan.sandwich.submit import ServerReply
from tests.unit.doctor.support import bad

GOLDEN = Path(__file__).parents[2] / "corpus" / "logs"
AA1 = "AAA00001"
LOG = """\
Nov 22 16:02:21 incoming[1]: AAA00001: from=<>, size=134, nrcpts=1, msgid=<a@example.org>, relay=localhost [127.0.0.1]
Nov 22 16:02:21 incoming[1]: AAA00001: Milter (miltscan) insert (0): header: X-Virus-Status:  Clean
Nov 22 16:02:21 incoming[2]: AAA00001: to=<postmaster>, dsn=2.0.0, stat=Sent (BBB00002 Message accepted for delivery)
Nov 22 16:02:21 delivery[3]: BBB00002: to=<postmaster>, delay=00:00:00, mailer=local, dsn=2.0.0, stat=Sent
""".splitlines()


def test_a_message_is_followed_through_both_logs() -> None:
    """By the queue ID that incoming logs of delivery."""
    way = follow_hops(LOG, AA1)
    assert way == HopEvents("Clean", "Sent (BBB00002 Message accepted for delivery)", "BBB00002", "Sent")
    assert way.over
    assert follow_hops(LOG, AA1[:-1]) == follow_hops(LOG, AA1[1:]) == HopEvents("", "", "", "")
    assert not follow_hops(LOG[:2], AA1).over
    assert not follow_hops(LOG[:3], AA1).over


def test_the_last_word_counts_and_a_reply_may_have_a_status() -> None:
    """A deferred message is sent later; other versions put 2.0.0 in front of the queue ID."""
    line = "AAA00001: to=<a>, dsn=2.0.0, stat=Sent (2.0.0 CCC00003 Message accepted for delivery)"
    lines = [
        "AAA00001: to=<a>, dsn=4.0.0, stat=Deferred: Connection refused by [127.0.0.1]",
        line,
    ]
    assert follow_hops(lines[:1], AA1).over
    assert follow_hops(lines, AA1).delivery_id == "CCC00003"


@pytest.mark.parametrize(
    ("way", "wrong"),
    [
        (HopEvents("Clean", "Sent (B ...)", "B", "Sent (in the mailbox)"), []),
        (HopEvents("", "Sent (B ...)", "B", "Sent"), []),
        (HopEvents("Clean", "", "", ""), [("error", "nothing is logged: it waits in the queue of incoming")]),
        (HopEvents("Clean", "Deferred: refused", "", ""), [("error", "stat=Deferred: refused")]),
        (HopEvents("Clean", "Sent (B ...)", "B", ""), [("warning", "B: nothing is logged yet: it waits in the queue")]),
        (HopEvents("Clean", "Sent (B ...)", "B", "User unknown"), [("error", "B: stat=User unknown")]),
    ],
)
def test_each_hop_is_judged(way: HopEvents, wrong: list[tuple[str, str]]) -> None:
    """Where it stopped, and why."""
    found = [one for one in hop_findings(way) if one.level is not Level.OK]
    assert [(one.level, one.text) for one in found] == wrong
    assert all(one.remedy for one in found)


@pytest.mark.parametrize(
    ("reply", "policy", "level"),
    [
        (ServerReply(550, "5.7.1 Virus found: Eicar (A)"), ActionName.REJECT, Level.OK),
        (ServerReply(554, "5.7.1 Command rejected"), ActionName.REJECT, Level.ERROR),
        (ServerReply(451, "4.3.2 Please try again later"), ActionName.REJECT, Level.ERROR),
        (ServerReply(451, "4.7.1 ..."), ActionName.TEMPFAIL, Level.OK),
        (ServerReply(250, "2.0.0 A Message accepted"), ActionName.REJECT, Level.ERROR),
        (ServerReply(250, "2.0.0 A Message accepted"), ActionName.DISCARD, Level.OK),
        (ServerReply(0, "no reply"), ActionName.REJECT, Level.ERROR),
    ],
)
def test_the_reply_to_the_test_signature(reply: ServerReply, policy: ActionName, level: Level) -> None:
    """What the policy wants, and from miltscan; an accepted one cries out."""
    finding = infected_finding(reply, policy)
    assert finding.level is level
    assert ("ACCEPTED" in finding.text) is (reply.code == 250 and policy is ActionName.REJECT)


def test_the_reply_to_the_clean_message() -> None:
    """250, or something is wrong."""
    assert clean_finding(ServerReply(250, "2.0.0 A Message accepted for delivery")).level is Level.OK
    assert [level for level, _ in bad([clean_finding(ServerReply(451, "4.7.1"))])] == ["error"]


def test_queue_ids() -> None:
    """With an enhanced status or without; a word that is in no log otherwise."""
    texts = ["2.0.0 AA1 Message accepted for delivery", "AA1 Message accepted for delivery", "ok"]
    assert [queue_id(ServerReply(250, text)) for text in texts] == ["AA1", "AA1", "no-queue-id"]


def test_only_new_lines_of_a_log_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is not there is none; without a name those of syslog are looked for."""
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


def test_a_log_of_any_size_costs_what_is_new_in_it(tmp_path: Path) -> None:
    """A tebibyte, of which the disk has only the end: to read it whole would take as much memory."""
    file = tmp_path / "mail.log"
    file.touch()
    os.truncate(file, 2**40)
    log = open_log(file)
    assert log is not None
    with file.open("a") as more:
        more.write("new\n")
    assert log() == ["new"]


def test_the_journal_is_read_where_there_is_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recorded export of a real journal, from now on; nothing without a journal, or where a log is named."""
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
    assert follow_hops(log(), "6AMG9F89004499").handed.startswith("Sent (")
    assert "--since=@" in (tmp_path / "asked").read_text()


def test_without_a_log_the_way_is_not_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which is said, with the option that names one."""
    replies = [ServerReply(250, "2.0.0 A Message accepted"), ServerReply(550, "5.7.1 Eicar")]
    monkeypatch.setattr(send, "_submit", lambda *_: replies.pop(0))
    found = [*send.send_findings(("h", 25), "postmaster", ActionName.REJECT, tmp_path / "absent")]
    assert [(one.level, one.remedy) for one in found if one.level is not Level.OK] == [
        ("warning", "name it: --log FILE")
    ]
