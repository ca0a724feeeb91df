"""`policy replay`: what a candidate would have done with past messages, and what the log does not show."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import Result

from miltscan.cli import app
from miltscan.core.action import Accept, ActionName, Decision, Reject, Reply
from miltscan.core.attachments import Attachment, of_type
from miltscan.core.facts import WeekTime
from miltscan.core.file_types import FileType
from miltscan.core.lists import ListName
from miltscan.core.message import Circumstances, Envelope, Message
from miltscan.core.noted import notes_on
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import Group, Listed, Report, Timed
from miltscan.core.ruled import Ruling, Scanned, rule_on
from miltscan.core.rules import Rules
from miltscan.core.structure import Structure
from miltscan.core.verdict import Advice, SpamAction, Verdict
from miltscan.quarantine.files import Files
from miltscan.telemetry.log import message_fields, recipient_refused
from tests.fakes.entries import put
from tests.fakes.messages import message, policy
from tests.fakes.runner import CliRunner
from tests.unit.core.test_noted import rules as rules_reading

CLEAN, INFECTED = Verdict.clean("clamd"), Verdict.infected("clamd", "Doc.Macro.X")
BY_DOMAIN = '[[rule]]\nname = "macros"\nwhen = { class = "Macro", sender = "@partner.example" }\naction = "accept"\n'
BY_HEADER = '[[rule]]\nname = "lists"\nwhen = { header = { "X-A" = "*" } }\naction = "reject"\n'


def line(queue_id: str, verdict: Verdict, noting: Rules | None = None, **fields: Any) -> str:  # noqa: ANN401 - of a message
    """The line of a message that the policy without rules has decided, with the facts that other rules read."""
    mail: Message = message(queue_id=queue_id, **fields)
    ruling = rule_on(policy(), Scanned(mail, verdict, (verdict,), WeekTime(0, 0)))
    report = Report(mail, verdict, ruling.decision, (Timed(verdict, 0.1),), 0.0, 0.0)
    report = report._replace(notes=(*notes_on(noting, mail),) if noting else ())
    return as_line(report)


def as_line(report: Report) -> str:
    """The line of a report."""
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"timestamp": stamp, "event": "message", **message_fields(report, 0)}) + "\n"


def replay(folder: Path, candidate: str, log: str, *more: str) -> dict[str, Any]:
    """The result as JSON."""
    result = replayed(folder, candidate, log, *more)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def replayed(folder: Path, candidate: str, log: str, *more: str) -> Result:
    """The command with this candidate and log."""
    (folder / "candidate.toml").write_text(candidate)
    (folder / "f.toml").write_text(f'quarantine.directory = "{folder}/quarantine"\n')
    (folder / "log").write_text(log)
    arguments = ["policy", "replay", "--policy", f"{folder}/candidate.toml", "--log", f"{folder}/log", "--json", *more]
    return CliRunner().invoke(app, [*arguments, "--config", f"{folder}/f.toml"], prog_name="miltscan")


def test_the_action_of_an_anti_spam_engine_is_in_the_log(tmp_path: Path) -> None:
    """A candidate that reads it is decided by the line alone."""
    mail = message(queue_id="SOFT1")
    opinion = Verdict.scored("rspamd", "", 4.5, Advice(SpamAction.SOFT_REJECT, 15.0), spam=False)
    decision = rule_on(policy(), Scanned(mail, CLEAN, (CLEAN, opinion), WeekTime(0, 0))).decision
    report = Report(mail, CLEAN, decision, (Timed(CLEAN, 0.1), Timed(opinion, 0.1)), 0.0, 0.0)
    candidate = '[[rule]]\nname = "later"\nwhen = { spam_action = "soft reject" }\naction = "tempfail"\n'
    found = replay(tmp_path, candidate, as_line(report) + line("SAME1", CLEAN), "--no-quarantine")
    assert (found["same"], found["undecided"]) == (1, 0)
    assert [(one["new_rule"], one["examples"]) for one in found["changes"]] == [("later", ["SOFT1"])]


def test_what_would_change(tmp_path: Path) -> None:
    """Counted by action and rule, with examples."""
    partner = Envelope(b"<a@partner.example>", (b"<b@example.test>",))
    lines = [
        line("SAME1", CLEAN),
        line("SAME2", INFECTED),
        *(line(f"OTHER{n}", INFECTED, envelope=partner) for n in range(5)),
    ]
    found = replay(tmp_path, BY_DOMAIN, "".join(lines), "--no-quarantine")
    assert (found["same"], found["changed"], found["undecided"], found["left_out"]) == (2, 5, 0, 0)
    assert found["changes"] == [
        {
            "messages": 5,
            "action": "reject",
            "rule": "policy.on_infected",
            "new_action": "accept",
            "new_rule": "macros",
            "examples": ["OTHER0", "OTHER1", "OTHER2"],
        }
    ]


@pytest.mark.parametrize(
    ("noting", "headers", "expected"),
    [
        (None, [(b"X-A", b" a")], (0, 0, 1)),
        (rules_reading('header = { "X-A" = "*" }'), [(b"X-A", b" a")], (0, 1, 0)),
        (rules_reading('header = { "X-A" = "*" }'), [], (1, 0, 0)),
        (rules_reading('header = { "X-B" = "*" }'), [(b"X-A", b" a")], (0, 0, 1)),
    ],
)
def test_a_fact_that_the_log_does_not_have(
    noting: Rules | None, headers: list[tuple[bytes, bytes]], expected: tuple[int, int, int], tmp_path: Path
) -> None:
    """It is named and counted apart; nothing is guessed."""
    found = replay(tmp_path, BY_HEADER, line("ONE", CLEAN, noting, headers=headers), "--no-quarantine")
    assert (found["same"], found["changed"], found["undecided"]) == expected
    assert found["missing"] == ({"headers": 1} if expected[2] else {})


def test_user_and_daemon_are_read_from_the_log(tmp_path: Path) -> None:
    """They are noted while rules read them."""
    rules = 'user = "alice", tls = true, daemon = "MSA"'
    candidate = f'[[rule]]\nname = "r"\nwhen = {{ {rules} }}\naction = "reject"\n'
    envelope = Envelope(b"<a@b>", (b"<c@d>",), authenticated=True)
    about = Circumstances(user="alice", tls_version="TLSv1.3", daemon="MSA")
    lines = [
        line("A", CLEAN, noting, envelope=envelope, circumstances=about) for noting in (rules_reading(rules), None)
    ]
    found = replay(tmp_path, candidate, "".join(lines), "--no-quarantine")
    assert (found["changed"], found["undecided"], {*found["missing"]}) == (1, 1, {"user", "tls", "daemon"})


@pytest.mark.parametrize(
    ("when", "changed", "undecided"),
    [
        ('attachment = "*.exe"', 1, 1),
        ('type = "pdf"', 1, 1),
        ('anomaly = "double-extension"', 1, 1),
        ("encrypted = true", 0, 4),
        ("depth_from = 2", 4, 0),
        ("depth_from = 3", 0, 0),
    ],
)
def test_attachments_are_read_from_the_log(tmp_path: Path, when: str, changed: int, undecided: int) -> None:
    """Where it names all of them, and always the depth; the rest of the structure is not known."""
    noting = rules_reading('type = "jpeg"')

    def mail(queue_id: str, *attachments: Attachment) -> str:
        structure = Structure(plain=True, sampled=False, anomalies=(), seconds=0.0, attachments=attachments, depth=2)
        return line(queue_id, CLEAN, noting, structure=structure)

    program, text = of_type(("a.pdf.exe",), FileType.EXE), of_type(("a.pdf",), FileType.PDF)
    log = mail("Q1", program) + mail("Q2", text) + mail("Q3") + mail("Q4", *([program] * 11))
    candidate = f'[[rule]]\nname = "files"\nwhen = {{ {when} }}\naction = "reject"\n'
    found = replay(tmp_path, candidate, log, "--no-quarantine")
    assert (found["changed"], found["undecided"], found["same"]) == (changed, undecided, 4 - changed - undecided)


def test_what_no_policy_decided_is_left_out(tmp_path: Path) -> None:
    """A list, a receipt, a failure; and what is older than asked for is not looked at."""
    mail = message(queue_id="LISTED")
    ruling = rule_on(policy(), Scanned(mail, CLEAN, (CLEAN,), WeekTime(0, 0)))
    listed = Report(mail, CLEAN, ruling.decision, (), 0.0, 0.0, listed=Listed(ListName.ALLOW, "7k2m9q4w"))
    failed = Report(mail, CLEAN, ruling.decision._replace(rule="exception"), (), 0.0, 0.0)
    old = line("OLD", CLEAN).replace(datetime.now(UTC).strftime("%Y-"), "2001-", 1)
    found = replay(tmp_path, BY_DOMAIN, as_line(listed) + as_line(failed) + old, "--no-quarantine")
    assert (found["same"], found["changed"], found["left_out"]) == (0, 0, 2)


def test_recipients_that_the_log_does_not_name(tmp_path: Path) -> None:
    """A candidate that asks for them cannot decide; another one can."""
    many = Envelope(b"<a@b>", tuple(b"<r%d@c>" % number for number in range(30)))
    by_recipient = '[[rule]]\nname = "r"\nwhen = { recipient = "@c" }\naction = "reject"\n'
    assert replay(tmp_path, by_recipient, line("ONE", CLEAN, envelope=many), "--no-quarantine")["missing"] == {
        "recipient": 1
    }
    assert replay(tmp_path, BY_DOMAIN, line("ONE", CLEAN, envelope=many), "--no-quarantine")["same"] == 1


TWO = Envelope(b"<a@b>", (b"<x@c>", b"<y@c>"))
OF_RECIPIENT = '[[rule]]\nname = "one"\nwhen = { recipient = "NAME@c" }\naction = "ACTION"\n'


def of_recipient(name: str, action: str = "reject") -> str:
    """A rule about this recipient."""
    return OF_RECIPIENT.replace("NAME", name).replace("ACTION", action)


@pytest.mark.parametrize(
    ("candidate", "same"),
    [
        (of_recipient("x"), 1),
        (of_recipient("y"), 0),
        (of_recipient("x", "tempfail"), 0),
        ('[policy]\nrecipients = "strictest"\n' + of_recipient("x"), 0),
    ],
)
def test_recipients_with_decisions_of_their_own(tmp_path: Path, candidate: str, same: int) -> None:
    """The same actions for other recipients are a change."""
    mail = message(queue_id="ONE", envelope=TWO)
    report = Report(mail, CLEAN, Decision(Accept(), "clean"), (Timed(CLEAN, 0.1),), 0.0, 0.0)
    groups = Group((0,), Decision(Reject(Reply(550, "5.7.1", "no")), "one")), Group((1,), Decision(Accept(), "clean"))
    found = replay(tmp_path, candidate, as_line(report._replace(groups=groups)), "--no-quarantine")
    assert (found["same"], found["changed"]) == (same, 1 - same)


@pytest.mark.parametrize(("action", "after"), [("reject", "reject"), ("discard", "discard:refused")])
def test_a_candidate_whose_strictest_decision_is_for_all(tmp_path: Path, action: str, after: str) -> None:
    """It is compared with what was done with the whole message."""
    candidate = '[policy]\nrecipients = "strictest"\n' + of_recipient("x", action)
    found = replay(tmp_path, candidate, line("ONE", CLEAN, envelope=TWO), "--no-quarantine")
    assert [(one["action"], one["new_action"]) for one in found["changes"]] == [("accept", after)]


def test_a_decision_for_all_is_no_strictest_one(tmp_path: Path) -> None:
    """A message that is dropped for all recipients is not kept."""
    candidate = '[policy]\nrecipients = "strictest"\n' + of_recipient("x").replace('"x@c"', '["x@c", "y@c"]')
    found = replay(
        tmp_path, candidate.replace("reject", "discard"), line("ONE", CLEAN, envelope=TWO), "--no-quarantine"
    )
    assert [one["new_action"] for one in found["changes"]] == ["discard"]


def test_messages_of_the_quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their headers are known; one that is in the log, too, is counted once."""
    files = Files(tmp_path / "quarantine")
    content = b"X-A: a\r\n\r\nbody\r\n"
    stored = [
        put(
            files, content, time=time.time(), queue_id=queue_id, action=ActionName.QUARANTINE, rule="policy.on_infected"
        )
        for queue_id in ("STORED", "INLOG")
    ]
    logged = json.loads(line("INLOG", CLEAN)) | {"area": "default", "entry": stored[1].id}
    found = replay(tmp_path, BY_HEADER, json.dumps(logged) + "\n")
    assert (found["undecided"], [one["examples"] for one in found["changes"]]) == (1, [["STORED"]])
    monkeypatch.setattr("miltscan.commands.policy_replay._MOST_ENTRIES", 1)
    assert replay(tmp_path, BY_HEADER, json.dumps(logged) + "\n")["changes"] == []


def test_old_entries_are_not_read(tmp_path: Path) -> None:
    """Their IDs show their time: one that is damaged is not even noticed, whether the index has it or not."""
    files = Files(tmp_path / "quarantine")
    now, week = time.time(), 7 * 86400.0
    for queue_id, age in (("OLD", week + 60), ("OLDER", 3 * week), ("NEW", week - 60)):
        entry = put(files, b"\r\n", time=now - age, queue_id=queue_id, rule="clean")
        if age > week:
            files.find(entry.id).write_bytes(b"damaged")
        if queue_id != "OLD":
            files.move(entry.id)
    files.mark(entry.id)  # it has changed: the index must look at it again, and it counts once
    result = replayed(tmp_path, BY_DOMAIN, "")
    assert (json.loads(result.stdout)["same"] + json.loads(result.stdout)["changed"], result.stderr) == (1, "")


REFUSED = '[[rule]]\nname = "r"\nwhen = {{ {} }}\naction = "reject"\n'


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (REFUSED.format('recipient = "b@example.test"'), ["same"]),
        (REFUSED.format('recipient = "b@example.test"').replace("reject", "tempfail"), ["changed"]),
        (REFUSED.format('user = "alice", direction = "submission"'), ["same"]),
        (REFUSED.format('size_from = "1KiB"'), ["undecided", "size"]),
        ("", ["undecided", "outcome"]),
    ],
)
def test_recipients_refused_at_rcpt(tmp_path: Path, candidate: str, expected: list[str]) -> None:
    """Each counts as a message of which the envelope is known."""
    found = replay(tmp_path, candidate, refused_line(), "--no-quarantine")
    assert found["refused_recipients"] == 1
    assert [name for name in ("same", "changed", "undecided") if found[name]] + [*found["missing"]] == expected


def refused_line() -> str:
    """The line of a recipient whom a rule refused, as the service writes it."""
    mail = message(
        queue_id="REFUSED",
        envelope=Envelope(b"<a@partner.example>", (b"<b@example.test>",), authenticated=True),
        circumstances=Circumstances(user="alice", tls_version="TLSv1.3", daemon="MSA"),
    )
    decision = Decision(Reject(Reply(550, "5.7.1", "no")), "r")
    written: list[dict[str, Any]] = []
    to = SimpleNamespace(info=lambda event, **fields: written.append({"event": event, **fields}))
    recipient_refused(cast("Any", to), mail, Ruling(decision))
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"timestamp": stamp, **written[0]}) + "\n"


def test_what_the_delivery_side_has_stored_is_left_out(tmp_path: Path) -> None:
    """Its rules are others, and its client is the incoming sendmail."""
    put(Files(tmp_path / "quarantine"), time=time.time(), rule="policy.on_infected", receipt=ReceiptResult.NONE)
    found = replay(tmp_path, BY_HEADER, "")
    assert (found["same"], found["changed"], found["undecided"], found["left_out"]) == (0, 0, 0, 1)


def test_without_a_quarantine_the_logs_are_read(tmp_path: Path) -> None:
    """A host may have none, and one that cannot be read is no reason to lose the result of the logs."""
    assert replay(tmp_path, BY_DOMAIN, line("ONE", CLEAN))["same"] == 1
    (tmp_path / "quarantine").mkdir(mode=0o777)
    (tmp_path / "quarantine").chmod(0o777)  # a folder that others may write to is refused
    assert replay(tmp_path, BY_DOMAIN, line("ONE", CLEAN))["same"] == 1


def test_another_area_is_a_change(tmp_path: Path) -> None:
    """Who is told and how long mail is kept depend on it."""
    logged = json.loads(line("ONE", INFECTED)) | {"action": "quarantine", "area": "default"}
    areas = "[quarantine.area.macros]\n"
    same = '[[rule]]\nname = "r"\naction = "quarantine"\n'
    other = areas + '[[rule]]\nname = "r"\naction = "quarantine:macros"\n'
    log = json.dumps(logged) + "\n"
    assert replay(tmp_path, same, log, "--no-quarantine")["same"] == 1
    (change,) = replay(tmp_path, other, log, "--no-quarantine")["changes"]
    assert (change["action"], change["new_action"]) == ("quarantine:default", "quarantine:macros")


def test_the_result_for_a_person(tmp_path: Path) -> None:
    """What changes comes first, then what is not known."""
    (tmp_path / "candidate.toml").write_text(BY_HEADER + BY_DOMAIN.replace("accept", "discard"))
    (tmp_path / "log").write_text(line("ONE", CLEAN))
    arguments = [
        "policy",
        "replay",
        "--policy",
        f"{tmp_path}/candidate.toml",
        "--log",
        f"{tmp_path}/log",
        "--no-quarantine",
    ]
    result = CliRunner().invoke(app, arguments, prog_name="miltscan")
    assert result.stdout == (
        "1 message: 0 as before, 0 would change\n1 message cannot be decided, for want of: headers (1)\n"
    )
    assert CliRunner().invoke(app, [*arguments, "--since", "yesterday"]).exit_code == 2


def test_a_candidate_with_a_mistake(tmp_path: Path) -> None:
    """One line, as everywhere."""
    (tmp_path / "candidate.toml").write_text("[[rule]]\n")
    result = CliRunner().invoke(app, ["policy", "replay", "--policy", f"{tmp_path}/candidate.toml"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "rule[1].name: required key is missing" in result.stderr
