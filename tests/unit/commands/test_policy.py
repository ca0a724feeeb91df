"""`policy check`, `show` and `explain`: arguments, output, exit status; no service and no engine runs."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import Result

from miltscan.cli import app
from miltscan.core.action import Accept, Decision, Reject, Reply
from miltscan.core.lists import ListName
from miltscan.core.message import Client, Envelope
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Outcome, Verdict
from miltscan.quarantine.files import Files
from miltscan.scanning.listfile import ListFile
from miltscan.telemetry.log import message_fields
from tests.fakes.entries import put
from tests.fakes.list_entries import listed
from tests.fakes.messages import message
from tests.fakes.runner import CliRunner
from tests.unit.commands.test_policy_replay import refused_line

SUBJECT = (b"Subject", b" hello")
HOSTILE = "\x1b[2J\u202e\x9b"
QUEUE_ID = "6AMG4FAU001849"
RULES = """
[[rule]]
name = "macros"
when = { class = "Macro", direction = "inbound" }
unless = { sender = "@partner.example" }
action = "quarantine"
[[rule]]
name = "watched"
when = { size_from = 10 }
action = "reject"
enforce = false
[[rule]]
name = "abuse"
when = { recipient = "abuse@example.test" }
action = "accept"
[[rule]]
name = "list mail"
when = { header = { "List-Id" = "*.example*" }, outcome = "infected" }
action = "reject"
text = "no {signature}"
[[rule]]
name = "later"
at = "delivery"
action = "discard"
"""
Run = Callable[..., Result]


@pytest.fixture
def policy(tmp_path: Path) -> Run:
    """Runs a command of `policy` with RULES."""
    (tmp_path / "f.toml").write_text(
        f'spool.directory = "{tmp_path}"\nlists.file = "{tmp_path}/lists.jsonl"\n'
        f'quarantine.directory = "{tmp_path}/quarantine"\n{RULES}'
    )

    def run(*arguments: str) -> Result:
        given = ["policy", *arguments, "--config", str(tmp_path / "f.toml")]
        return CliRunner().invoke(app, given, prog_name="miltscan")

    return run


def explained(result: Result) -> dict[str, Any]:
    """The JSON object of an explanation."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def decisions(result: Result) -> list[tuple[str, str]]:
    """Rule and action for each recipient."""
    return [(one["rule"], one["action"]) for one in explained(result)["recipients"]]


def test_rules_without_a_mistake(policy: Run) -> None:
    """Their number is a line."""
    result = policy("check")
    assert (result.exit_code, result.stdout) == (0, "5 rules, of which 1 not enforced: no mistake\n")


def test_each_mistake_is_a_line(tmp_path: Path) -> None:
    """Those of conditions, names and actions together, with status 2."""
    file = tmp_path / "f.toml"
    file.write_text('[[rule]]\nname = "a"\nwhen = { colour = 1, outcome = "x" }\naction = "reject"\ncode = "450"\n')
    result = CliRunner().invoke(app, ["policy", "check", "--config", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert all(any(word in line for line in result.stderr.splitlines()) for word in ("colour", "outcome"))


def test_each_source_that_cannot_be_read_is_a_line(tmp_path: Path) -> None:
    """Those of one rule, too; `show` needs none of them."""
    file = tmp_path / "f.toml"
    when = f'sender = "file:{tmp_path}/a", recipient = ["file:{tmp_path}/b", "file:{tmp_path}/c"]'
    file.write_text(f'[[rule]]\nname = "r"\nwhen = {{ {when} }}\naction = "reject"\n')
    result = CliRunner().invoke(app, ["policy", "check", "--config", str(file)])
    assert (result.exit_code, result.stdout) == (2, "")
    assert [line.partition(" ")[0] for line in result.stderr.splitlines()] == [
        f"file:{tmp_path}/{name}:" for name in "abc"
    ]
    assert CliRunner().invoke(app, ["policy", "show", "--config", str(file)]).exit_code == 0


def test_the_rules_as_a_table(policy: Run) -> None:
    """It fits 80 columns, and each rule has its conditions below it."""
    lines = policy("show").stdout.splitlines()
    assert lines[:4] == [
        "   ACTION              ENFORCED  SIDE      RULE",
        "1  quarantine:default  yes       incoming  macros",
        '      when class = "Macro", direction = "inbound"',
        '      unless sender = "@partner.example"',
    ]
    assert lines[-2:] == ["5  discard             yes       delivery  later", "      always"]
    assert max(map(cell_len, lines)) <= 80


def test_the_rules_as_json(policy: Run) -> None:
    """They are one object each."""
    rules = [json.loads(line) for line in policy("show", "--json").stdout.splitlines()]
    assert [one["name"] for one in rules] == ["macros", "watched", "abuse", "list mail", "later"]
    assert rules[1]["enforced"] is False
    assert rules[0]["when"] == [{"class": '"Macro"', "direction": '"inbound"'}]


ENVELOPE = ("--client", "8.8.8.8", "--user", "", "--sender", "a@partner.example", "--size", "100")


def test_an_envelope_by_options(policy: Run) -> None:
    """Each recipient has its decision; the conditions behind it are shown with the values of the message."""
    to = ("--recipient", "abuse@example.test", "--recipient", "x@example.test")
    found = ("--signature", "Doc.Macro.X", "--header", "List-Id=news.example.org")
    result = policy("explain", *ENVELOPE, *to, *found)
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert '1 macros: does not match unless sender = "@partner.example" holds: it is <a@partner.example>' in text
    assert "2 watched: matches, but is not enforced" in text
    assert "abuse@example.test: accept, by rule abuse adds X-Virus-Status: Infected (Doc.Macro.X)" in text
    assert "x@example.test: reject, by rule list mail: 550 5.7.1 no Doc.Macro.X" in text
    assert max(map(cell_len, result.stdout.splitlines())) <= 80
    assert decisions(policy("explain", "--json", *ENVELOPE, *to, *found)) == [
        ("abuse", "accept"),
        ("list mail", "reject"),
    ]


def test_what_nobody_says_is_unknown(policy: Run) -> None:
    """The decision is open, and names the fact; the status is 1."""
    result = policy("explain", *ENVELOPE, "--recipient", "x@example.test", "--signature", "Doc.X")
    assert result.exit_code == 1
    assert "x@example.test: undecided: it depends on headers" in result.stdout
    assert "not known: headers" in result.stdout


def test_the_action_of_an_anti_spam_engine(tmp_path: Path) -> None:
    """It is known only if the option names it; a rule that reads it is undecided otherwise."""
    file = tmp_path / "f.toml"
    rule = '[[rule]]\nname = "later"\nwhen = { spam_action = "soft reject" }\naction = "tempfail"\n'
    file.write_text(f'lists.file = ""\n[[engine]]\ntype = "clamd"\n[[engine]]\ntype = "rspamd"\n{rule}')

    def explain(score: str) -> Result:
        arguments = ["policy", "explain", "--outcome", "clean", "--score", score, "--json", "--config", str(file)]
        return CliRunner().invoke(app, arguments, prog_name="miltscan")

    result = explain("rspamd=4.5,soft reject")
    assert decisions(result) == [("later", "tempfail")]
    assert explained(result)["facts"]["spam_actions"] == {"rspamd": "soft reject"}
    assert decisions(explain("rspamd=4.5,no action")) == [("clean", "accept")]
    assert explained(explain("rspamd=4.5"))["recipients"][0]["needs"] == ["spam_actions"]


SPAM = '[policy]\non_spam = "quarantine"\n[[engine]]\ntype = "clamd"\n[[engine]]\ntype = "rspamd"\n'


@pytest.mark.parametrize(
    "options", [["--outcome", "spam"], ["--outcome", "spam", "--engine", "rspamd", "--score", "rspamd=9"]]
)
def test_spam_by_options(tmp_path: Path, options: list[str]) -> None:
    """An engine that looks for spam never decides alone; an entry of the allow list exempts from it."""
    file = tmp_path / "f.toml"
    file.write_text(f'lists.file = "{tmp_path}/lists.jsonl"\n{SPAM}')
    arguments = ["policy", "explain", "--sender", "a@partner.example", *options, "--json", "--config", str(file)]
    assert decisions(CliRunner().invoke(app, arguments)) == [("policy.on_spam", "quarantine:default")]
    ListFile(tmp_path / "lists.jsonl").add(listed(ListName.ALLOW, sender="@partner.example"))
    assert decisions(CliRunner().invoke(app, arguments)) == [("clean", "accept")]


def test_spam_of_the_quarantine(tmp_path: Path) -> None:
    """It is decided as spam again, although the engine that found it is not a required one."""
    file = tmp_path / "f.toml"
    file.write_text(f'lists.file = ""\nquarantine.directory = "{tmp_path}/quarantine"\n{SPAM}')
    entry = put(Files(tmp_path / "quarantine"), time=time.time(), outcome=Outcome.SPAM, signature="", engine="rspamd")
    result = CliRunner().invoke(app, ["policy", "explain", entry.id, "--json", "--config", str(file)])
    assert {*decisions(result)} == {("policy.on_spam", "quarantine:default")}


def test_the_rules_of_the_delivery_side(policy: Run) -> None:
    """They decide with an option."""
    assert decisions(policy("explain", "--delivery", "--outcome", "clean", "--json")) == [("later", "discard")]


def test_an_entry_of_the_deny_list_decides(policy: Run, tmp_path: Path) -> None:
    """It comes before the rules."""
    entry = ListFile(tmp_path / "lists.jsonl").add(listed("deny", sender="@partner.example"))
    result = policy("explain", *ENVELOPE, "--outcome", "clean", "--json")
    assert explained(result)["denied_by"] == [entry.id]
    assert decisions(result) == [("list.deny", "reject")]
    assert f"{ListName.DENY} {entry.id}: sender @partner.example" in policy("explain", *ENVELOPE).stdout


def test_a_stored_message_with_a_verdict_by_options(policy: Run, tmp_path: Path) -> None:
    """Its headers and its size count, without the first line of a mailbox file."""
    file = tmp_path / "m.mbox"
    file.write_bytes(b"From a Sun Nov 29\nList-Id: news.example.org\nSubject: s\n\nbody\n")
    result = policy("explain", str(file), "--signature", "Eicar", "--recipient", "x@example.test", "--json")
    assert explained(result)["facts"]["size"] == len(b"List-Id: news.example.org\r\nSubject: s\r\n\r\nbody\r\n")
    assert decisions(result) == [("list mail", "reject")]


def test_the_attachments_of_a_stored_message(tmp_path: Path) -> None:
    """They are known without an engine, and the rules decide about them."""
    file, mail = tmp_path / "f.toml", tmp_path / "m.eml"
    rule = '[[rule]]\nname = "programs"\nwhen = { type = "exe", anomaly = "double-extension" }\naction = "reject"\n'
    file.write_text(f'spool.directory = "{tmp_path}"\nlists.file = ""\n{rule}')
    mail.write_bytes(
        b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream; name=a.pdf.exe\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nTVqQAAMAAAAEAAAA\r\n"
    )
    arguments = [
        "policy",
        "explain",
        str(mail),
        "--outcome",
        "clean",
        "--recipient",
        "a@b.example",
        "--config",
        str(file),
    ]
    result = CliRunner().invoke(app, [*arguments, "--json"], prog_name="miltscan")
    assert decisions(result) == [("programs", "reject")]
    known = explained(result)["facts"]
    assert (known["attachments"], known["anomalies"]) == ("a.pdf.exe (exe)", "double-extension")
    assert known["encrypted"] is False


def test_a_stored_message_that_no_engine_scans(policy: Run, tmp_path: Path) -> None:
    """The engines are asked without a verdict by options; none answers here."""
    file = tmp_path / "m.eml"
    file.write_bytes(b"Subject: s\r\n\r\nbody\r\n")
    result = policy("explain", str(file), "--recipient", "x@example.test", "--json")
    assert explained(result)["facts"]["outcome"] in {"error", "unscanned"}
    assert decisions(result)[0][0].startswith("policy.on_")


@pytest.mark.parametrize(
    ("on_spam", "options", "expected"),
    [
        ("reject", [], (None, ["outcome"])),
        ("reject", ["--delivery"], ("clean", [])),
        ("reject", ["--sender", "a@partner.example"], ("clean", [])),
        ("accept", [], ("clean", [])),
    ],
)
def test_a_stored_message_that_may_be_spam(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_spam: str,
    options: list[str],
    expected: tuple[str | None, list[str]],
) -> None:
    """No anti-spam engine is asked about it: whether it is clean is unknown where one would be asked."""
    file, mail = tmp_path / "f.toml", tmp_path / "m.eml"
    file.write_text(f'lists.file = "{tmp_path}/lists.jsonl"\n{SPAM.replace("quarantine", on_spam)}')
    mail.write_bytes(b"Subject: s\r\n\r\nbody\r\n")
    ListFile(tmp_path / "lists.jsonl").add(listed(ListName.ALLOW, sender="@partner.example"))
    found = message()
    clean = Verdict.clean("clamd")
    report = Report(found, clean, Decision(Accept(), "clean"), (Timed(clean, 0.0),), 0.0, 0.0)
    monkeypatch.setattr("miltscan.commands.policy_explain.scan_stored", lambda *_: report)
    result = CliRunner().invoke(app, ["policy", "explain", str(mail), *options, "--json", "--config", str(file)])
    (one,) = explained(result)["recipients"]
    assert (one["rule"], one["needs"]) == expected


def test_a_message_of_the_log(policy: Run, tmp_path: Path) -> None:
    """Its line is read, what it does not have is unknown, and hostile text is shown as escapes."""
    mail = message(
        queue_id=QUEUE_ID,
        client=Client(f"mail{HOSTILE}", "8.8.8.8"),
        envelope=Envelope(f"<a{HOSTILE}@x.example>".encode(), (b"<abuse@example.test>", b"<x@example.test>")),
    )
    verdict = Verdict.infected("clamd", "Doc.Macro.X")
    decision = Decision(Reject(Reply(550, "5.7.1", "Virus found")), "policy.on_infected")
    report = Report(mail, verdict, decision, (Timed(verdict, 0.1),), 0.0, 0.0)
    fields = {"timestamp": "2026-11-22T16:04:15.852+00:00", "event": "message", **message_fields(report, 0)}
    (tmp_path / "log").write_text(json.dumps(fields) + "\n")
    result = policy("explain", QUEUE_ID, "--log", str(tmp_path / "log"))
    assert result.exit_code == 0
    assert "550 5.7.1 Virus found, by rule policy.on_infected" in result.stdout
    assert "x@example.test: quarantine:default, by rule macros" in result.stdout
    assert not set(HOSTILE) & set("\x1b\u202e\x9b") & set(result.stdout)
    replaced = policy("explain", QUEUE_ID, "--log", str(tmp_path / "log"), "--sender", "a@partner.example", "--json")
    assert decisions(replaced) == [("abuse", "accept"), (None, None)]
    assert policy("explain", "6AMG4FAU001850", "--log", str(tmp_path / "log")).exit_code == 1


TAGGED = """
[[rule]]
name = "tagged"
when = { header = { "X-Own" = "*" } }
action = "accept"
tag = "[{outcome}]"
add_headers = { "X-Rule" = "{recipient}" }
remove_headers = ["X-Own", "X-Other"]
"""


def test_edits_of_headers_that_the_log_does_not_have(policy: Run, tmp_path: Path) -> None:
    """The line has the header that the rule reads, and neither the subject nor the others: nothing is made up."""
    (tmp_path / "f.toml").write_text(TAGGED)
    mail = message(queue_id=QUEUE_ID, client=Client("m.example", "8.8.8.8"), headers=((b"X-Own", b" a"), SUBJECT))
    verdict = Verdict.clean("clamd")
    report = Report(
        mail, verdict, Decision(Accept(), "tagged"), (Timed(verdict, 0.1),), 0.0, 0.0, notes=("header=x-own: a",)
    )
    fields = message_fields(report, 0) | {"event": "message"}
    (tmp_path / "log").write_text(json.dumps(fields) + "\n")
    (one,) = explained(policy("explain", QUEUE_ID, "--log", str(tmp_path / "log"), "--json"))["recipients"]
    assert [text for text in one["edits"] if "X-Virus" not in text] == [
        "removes x-own (1)",
        "puts [clean] before the subject",
        "adds X-Rule: <user@example.test>",
        "removes X-Other, if the message has it",
    ]
    (tmp_path / "m.eml").write_bytes(b"X-Own: a\r\nSubject: hello\r\n\r\n")
    shown = policy("explain", str(tmp_path / "m.eml"), "--outcome", "clean", "--recipient", "a@b", "--json")
    (one,) = explained(shown)["recipients"]
    assert "changes Subject to [clean] hello" in one["edits"]
    assert "removes X-Other, if the message has it" not in one["edits"]


def test_a_message_whose_recipients_were_all_refused(policy: Run, tmp_path: Path) -> None:
    """There is no line about it as a whole: what is known is the envelope, with each of them."""
    second = refused_line().replace("<b@example.test>", "<abuse@example.test>")
    (tmp_path / "log").write_text((refused_line() + second).replace("REFUSED", QUEUE_ID))
    result = policy("explain", QUEUE_ID, "--log", str(tmp_path / "log"), "--json")
    found = explained(result)
    assert [one["recipient"] for one in found["recipients"]] == ["<b@example.test>", "<abuse@example.test>"]
    assert found["then"] == "550 5.7.1 no, by rule r"
    assert (found["facts"]["user"], found["facts"]["direction"]) == ("alice", "submission")
    assert (found["facts"]["outcome"], found["facts"]["size"]) == (None, None)


def test_a_message_that_the_log_has_cut(policy: Run, tmp_path: Path) -> None:
    """Recipients without an address are counted, and a shortened signature is unknown."""
    mail = message(queue_id=QUEUE_ID, client=Client("m.example", "8.8.8.8"))
    verdict = Verdict.clean("clamd")
    report = Report(mail, verdict, Decision(Accept(), "clean"), (Timed(verdict, 0.1),), 0.0, 0.0)
    fields = message_fields(report, 0) | {"event": "message", "recipients_count": 30, "sender": "<aaa…"}
    (tmp_path / "log").write_text(json.dumps(fields) + "\n")
    found = explained(policy("explain", QUEUE_ID, "--log", str(tmp_path / "log"), "--json"))
    assert (found["others"], found["facts"]["sender"]) == (29, None)


def test_a_message_of_the_quarantine(policy: Run, tmp_path: Path) -> None:
    """Its headers are read from its file."""
    entry = put(
        Files(tmp_path / "quarantine"),
        b"List-Id: news.example.org\r\n\r\nbody\r\n",
        time=time.time(),
        outcome=Outcome.INFECTED,
        signature="Eicar",
        recipients=(b"<x@example.test>",),
    )
    result = policy("explain", entry.id, "--json")
    assert decisions(result) == [("list mail", "reject")]
    assert explained(result)["subject"] == entry.id


def test_a_message_that_the_delivery_side_has_stored(policy: Run, tmp_path: Path) -> None:
    """The rules of that side decided about it, and explain it without an option."""
    entry = put(Files(tmp_path / "quarantine"), time=time.time(), receipt=ReceiptResult.NONE)
    result = policy("explain", entry.id, "--json")
    assert explained(result)["side"] == "delivery"
    assert {*decisions(result)} == {("later", "discard")}


@pytest.mark.parametrize(
    "option",
    [
        ("--client", "x"),
        ("--size", "x"),
        ("--outcome", "x"),
        ("--reason", "x"),
        ("--direction", "x"),
        ("--at", "x"),
        ("--score", "x"),
        ("--score", "rspamd=4,defer"),
        ("--header", "x"),
    ],
)
def test_a_wrong_value_is_named(policy: Run, option: tuple[str, str]) -> None:
    """With what is expected, and status 2."""
    result = policy("explain", *option)
    assert result.exit_code == 2
    assert "expected" in result.stderr
