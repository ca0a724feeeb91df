"""`allow`, `deny` and `lists`: arguments, output, exit status, the line in syslog; no service runs."""

import json
import os
import shutil
import syslog
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from tempfile import mkdtemp

import pytest
from rich.cells import cell_len
from typer.testing import Result

from docs.generator import log_events
from miltscan.cli import app
from miltscan.commands.lists_common import expiry
from miltscan.core.action import Decision, Reject, Reply
from miltscan.core.lists import ListEntry
from miltscan.core.message import Client, Envelope
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Advice, Limit, SpamAction, Verdict
from miltscan.scanning.listfile import ListFile
from miltscan.telemetry.log import message_fields
from tests.fakes.list_entries import listed
from tests.fakes.messages import message
from tests.fakes.runner import CliRunner

HOSTILE = "\x1b[2J\u202e\x9b"
DIGEST = "5A" * 32
QUEUE_ID = "6AMG4FAU001849"
SUSPICION = "Heuristics.Phishing.Email.SpoofedDomain"


class Lists:
    """Files of the lists and of the configuration; `lines` are those for syslog."""

    def __init__(self, folder: Path) -> None:
        self.file = ListFile(folder / "lists.jsonl")
        self.config, self.log = folder / "f.toml", folder / "mail.log"
        self.lines: list[dict[str, object]] = []
        self.config.write_text(f'spool.directory = "{folder}"\nlists.file = "{self.file.path}"\n')

    def run(self, *arguments: str, given: str = "") -> Result:
        """A run of the program within this process."""
        return CliRunner().invoke(app, [*arguments, "--config", str(self.config)], input=given, prog_name="miltscan")

    @property
    def entry(self) -> ListEntry:
        """The only entry."""
        (entry,) = self.file.read().entries
        return entry

    def logged(
        self,
        verdict: Verdict,
        sender: bytes = b"<News@Bank.Example>",
        verdicts: Sequence[Verdict] = (),
        **envelope: object,
    ) -> None:
        """The log line of a message on which this was the verdict, the worst of `verdicts`."""
        mail = message(
            queue_id=QUEUE_ID,
            client=Client(f"mail{HOSTILE}.example.org", "192.0.2.1"),
            envelope=Envelope(sender, (b"<user@example.test>",))._replace(**envelope),  # type: ignore[arg-type]
        )
        decision = Decision(Reject(Reply(550, "5.7.1", f"Virus found ({QUEUE_ID})")), "policy.on_infected")
        report = Report(mail, verdict, decision, tuple(Timed(one, 0.1) for one in verdicts or (verdict,)), 0.0, 0.0)
        fields = {"timestamp": "2026-11-22T16:04:15.852+00:00", "event": "message", **message_fields(report, 0)}
        self.log.write_text(json.dumps(fields) + "\n")


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lists:
    """Empty lists."""
    lists = Lists(tmp_path)

    def written(_priority: int, text: str) -> None:
        assert log_events.deviations(json.loads(text)) == []
        lists.lines.append(json.loads(text))

    monkeypatch.setattr(syslog, "syslog", written)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("SUDO_USER", "anna")
    return lists


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        (["Win.Test.X-1"], {"signature": "Win.Test.X-1"}),
        (["Win Odd: (md5:3)"], {"signature": "Win Odd: (md5:3)"}),
        ([DIGEST], {"digest": DIGEST.lower()}),
        (["A@Bank.Example"], {"sender": "a@bank.example"}),
        (["<a@bank.example>"], {"sender": "a@bank.example"}),
        (["@bank.example"], {"sender": "@bank.example"}),
        ([".bank.example"], {"sender": ".bank.example"}),
        (["<>"], {"sender": "<>"}),
        (["X", "--sender", "@bank.example"], {"signature": "X", "sender": "@bank.example"}),
        (["X", "--for", "Example.test"], {"signature": "X", "recipient": "@example.test"}),
        (["X", "--for", "user@example.test"], {"signature": "X", "recipient": "user@example.test"}),
        (["X", "--client", "192.0.2.0/24"], {"signature": "X", "client": ip_network("192.0.2.0/24")}),
        (["X", "--client", "2001:db8::1"], {"signature": "X", "client": ip_network("2001:db8::1/128")}),
        (["X", "--authenticated"], {"signature": "X", "authenticated": True}),
    ],
)
@pytest.mark.parametrize("name", ["allow", "deny"])
def test_an_entry_is_what_the_options_name(
    lists: Lists, name: str, arguments: list[str], fields: dict[str, object]
) -> None:
    """The file and syslog have who added it and why."""
    result = lists.run(name, *arguments, "--reason", " ticket 4711 ")
    assert result.exit_code == 0, result.stderr
    entry = lists.entry
    assert entry.by == ("anna" if os.geteuid() == 0 else lists.entry.by)
    assert entry == replace(listed(name, entry.id, **fields), added=entry.added, by=entry.by, reason="ticket 4711")
    assert entry.added == pytest.approx(time.time(), abs=60)
    (line,) = lists.lines
    assert (line["event"], line["id"], line["list"], line["reason"]) == ("list_added", entry.id, name, "ticket 4711")
    assert result.stdout.startswith(f"added {entry.id}: {name} ")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["allow", "X"], "Missing option '--reason'"),
        (["allow", "X", "--reason", " "], "expected a reason"),
        (["allow", "--reason", "r"], "expected either SIGNATURE|SHA256|SENDER or --from QUEUE-ID"),
        (["allow", "X", "--from", "Q", "--reason", "r"], "expected either"),
        (["deny", "--reason", "r"], "Missing argument"),
        (["deny", "a@b@", "--reason", "r"], "expected an address, @domain"),
        (["deny", "", "--reason", "r"], "expected SIGNATURE|SHA256|SENDER"),
        (["deny", f"X{HOSTILE}", "--reason", "r"], "expected SIGNATURE|SHA256|SENDER"),
        (["deny", "@a", "--sender", "@b", "--reason", "r"], "@a is a sender already"),
        (["deny", "X", "--sender", "example.org", "--reason", "r"], "expected an address"),
        (["deny", "X", "--client", "192.0.2.1/24", "--reason", "r"], "has host bits set"),
        (["deny", "X", "--until", "soon", "--reason", "r"], "expected a duration such as 30d"),
        (["deny", "X", "--until", "2020-01-01", "--reason", "r"], "expected a time in the future"),
    ],
)
def test_mistakes(lists: Lists, arguments: list[str], text: str) -> None:
    """Nothing is written, and the status is that of wrong usage."""
    result = lists.run(*arguments)
    assert (result.exit_code, lists.file.path.exists(), lists.lines) == (2, False, [])
    assert text in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("name", "key"), [("Heuristics.Limits.Exceeded.MaxFileSize", "limits"), ("Heuristics.Encrypted.Zip", "encrypted")]
)
def test_a_limit_is_no_detection(lists: Lists, name: str, key: str) -> None:
    """An entry would have no effect: the user learns which key does."""
    result = lists.run("allow", name, "--reason", "r")
    assert (result.exit_code, lists.file.path.exists()) == (1, False)
    assert f"policy.on_unscanned.{key}" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected", "not_expected"),
    [
        (["Win.X.UNOFFICIAL"], ["echo Win.X >>/var/lib/clamav/local.ign2", "unscanned (allowed)"], ["forge"]),
        (["Win X"], ["echo 'Win X' >>"], []),
        ([SUSPICION], ["is clean and marked"], [".ign2", "unscanned"]),
        (["@a.example"], ["Allows Heuristics.* and spam only"], [".ign2"]),
        (["@a.example", "--client", "192.0.2.1"], ["unscanned (allowed)"], [".ign2", "Heuristics"]),
    ],
)
def test_allow_says_what_follows(
    lists: Lists, arguments: list[str], expected: list[str], not_expected: list[str]
) -> None:
    """Whether the message counts as scanned, and how clamd goes on."""
    result = lists.run("allow", *arguments, "--reason", "r")
    text = " ".join(result.stdout.split())
    assert [one for one in expected if one not in text] == []
    assert [one for one in not_expected if one in text] == []
    assert [line for line in result.stdout.splitlines() if cell_len(line) > 80 and "echo" not in line] == []


def test_until_is_a_duration_a_day_or_a_time(utc: None) -> None:  # noqa: ARG001 - the time zone
    """A day is included."""
    now = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
    assert expiry("", now) is None
    assert expiry("30d", now) == now + 30 * 86400
    assert expiry("2026-12-31", now) == datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert expiry("2026-11-29", now) == datetime(2026, 11, 30, tzinfo=UTC).timestamp()
    assert expiry("2026-12-31T18:00", now) == datetime(2026, 12, 31, 18, tzinfo=UTC).timestamp()


def test_from_a_message_in_the_log(lists: Lists) -> None:
    """Signature and sender of the log line; it shows what would have changed, and asks."""
    lists.logged(Verdict.infected("clamd", "Win.Test.X-1"))
    arguments = ["allow", "--from", QUEUE_ID, "--log", str(lists.log), "--reason", "r"]
    for given in ("n\n", ""):
        assert (lists.run(*arguments, given=given).exit_code, lists.file.read().entries) == (1, ())
    result = lists.run(*arguments, given="y\n")
    assert result.exit_code == 0, result.stderr
    assert (lists.entry.signature, lists.entry.sender) == ("Win.Test.X-1", "news@bank.example")
    assert not set(HOSTILE) - set("[2J") & set(result.stdout)
    before, after = (" ".join(part.split()) for part in result.stdout.split("With this entry\n"))
    for part in (
        "verdict Infected (Win.Test.X-1)",
        f"result 550 5.7.1 Virus found ({QUEUE_ID}), by policy.on_infected",
    ):
        assert part in before
    for part in (
        "entry allow signature Win.Test.X-1, sender news@bank.example",
        "verdict Unscanned (allowed: Win.Test.X-1)",
        "result accept, by policy.on_unscanned.allowed",
    ):
        assert part in after


def test_from_a_message_with_a_suspicion(lists: Lists) -> None:
    """It would have been clean; options restrict the entry, and --yes does not ask."""
    lists.logged(Verdict.infected("clamd", SUSPICION), sender=b"<>")
    arguments = ["--for", "example.test", "--sender", "<>", "--until", "30d", "--yes"]
    result = lists.run("allow", "--from", QUEUE_ID, "--log", str(lists.log), "--reason", "r", *arguments)
    assert result.exit_code == 0, result.stderr
    assert f"Clean (allowed: {SUSPICION})" in result.stdout
    assert (lists.entry.sender, lists.entry.recipient) == ("<>", "@example.test")


def test_from_spam(lists: Lists) -> None:
    """The sender is exempt from then on, and what the rules say of that is shown."""
    rule = '[[rule]]\nname = "ours"\nwhen = { outcome = "clean" }\naction = "accept"\n'
    with lists.config.open("a") as config:
        config.write(f'[[engine]]\ntype = "clamd"\n[[engine]]\ntype = "rspamd"\n{rule}')
    spam = Verdict.scored("rspamd", "", 9.0, Advice(SpamAction.REJECT, 5.0), spam=True)
    lists.logged(spam, verdicts=(Verdict.clean("clamd"), spam))
    result = lists.run("allow", "--from", QUEUE_ID, "--log", str(lists.log), "--reason", "r", "--yes")
    assert result.exit_code == 0, result.stderr
    before, after = (" ".join(part.split()) for part in result.stdout.split("With this entry\n"))
    assert "verdict Spam" in before
    assert "entry allow sender news@bank.example verdict Clean result accept, by ours" in after
    assert (lists.entry.signature, lists.entry.sender) == ("", "news@bank.example")


def test_an_entry_for_one_recipient_says_where_it_applies(lists: Lists) -> None:
    """Without decisions for each recipient it is about whole messages."""
    arguments = ["@spam.example", "--for", "sales@example.org", "--reason", "r"]
    for command in ("deny", "allow"):
        assert "that has other recipients" in lists.run(command, *arguments).stdout
    with lists.config.open("a") as config:
        config.write("lists.each_recipient = true\n")
    assert "that has other recipients" not in lists.run("deny", *arguments).stdout


@pytest.mark.parametrize(
    ("verdict", "arguments", "text"),
    [
        (Verdict.clean("clamd"), [], "nothing was detected in this message: outcome clean"),
        (Verdict.unscanned("clamd", Limit.ENCRYPTED), [], "outcome unscanned (encrypted), rule policy.on_infected"),
        (Verdict.infected("clamd", "X" * 2000), [], "the log has shortened"),
        (
            Verdict.infected("clamd", "X"),
            ["--for", "other.example"],
            "changes nothing for this message; nothing was added",
        ),
        (Verdict.infected("clamd", "X"), ["--authenticated"], "changes nothing for this message"),
    ],
)
def test_from_a_message_that_no_entry_would_change(
    lists: Lists, verdict: Verdict, arguments: list[str], text: str
) -> None:
    """One line with the reason; nothing is asked or written."""
    lists.logged(verdict)
    if verdict.signature and len(verdict.signature) > 1000:
        lists.log.write_text(lists.log.read_text().replace(verdict.signature, f"{verdict.signature[:999]}…"))
    result = lists.run("allow", "--from", QUEUE_ID, "--log", str(lists.log), "--reason", "r", *arguments)
    assert (result.exit_code, lists.file.path.exists()) == (1, False)
    assert text in result.stderr
    assert "Add this entry" not in result.stderr


def test_from_a_message_that_is_not_in_the_log(lists: Lists) -> None:
    """The line names the queue ID and the logs."""
    lists.log.write_text("")
    result = lists.run("allow", "--from", QUEUE_ID, "--log", str(lists.log), "--reason", "r")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert f"{QUEUE_ID}: no line of miltscan about this message in {lists.log}" in result.stderr


def test_the_lists(lists: Lists, utc: None) -> None:  # noqa: ARG001 - the time zone
    """Who, when, until when and why, in 80 columns; expired and removed entries are not shown."""
    assert lists.run("lists").stdout == "both lists are empty\n"
    entries = [
        lists.file.add(replace(one, id="", added=1764376200.0))
        for one in (
            listed(signature="Win.X", sender=".a.example", recipient="@b.example", until=4e9),
            replace(listed("deny", digest="5a" * 32), reason="word " * 40),
            listed("deny", sender="@old.example", until=5.0),
        )
    ]
    result = lists.run("lists")
    lines = result.stdout.splitlines()
    assert lines[:3] == [
        f"{entries[0].id}  allow  signature Win.X, sender .a.example, for @b.example",
        "          added 2025-11-29 00:30 by root, until 2096-10-02 07:06",
        "          test",
    ]
    assert [line for line in lines if cell_len(line) > 80] == []
    assert (result.exit_code, "old.example" in result.stdout) == (0, False)
    first, second = (json.loads(line) for line in lists.run("lists", "--json").stdout.splitlines())
    assert (first["signature"], first["until"], first["client"], first["hits"]) == ("Win.X", 4e9, None, None)
    assert (second["list"], second["sha256"], second["by"]) == ("deny", "5a" * 32, "root")


def test_broken_lines_are_a_failure(lists: Lists) -> None:
    """Entries are shown all the same."""
    lists.file.add(listed(list_id="", signature="X"))
    with lists.file.path.open("ab") as raw:
        raw.write(b"x\n")
    result = lists.run("lists")
    assert (result.exit_code, "signature X" in result.stdout) == (1, True)
    assert "line 3" in result.stderr


def test_hits_are_counted_in_the_logs(lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is in two logs counts once."""
    entry = lists.file.add(listed(list_id="", signature="X"))
    lists.logged(Verdict.infected("clamd", "X"))
    line = lists.log.read_text().replace('"list": null', f'"list":"{entry.id}"')
    other = lists.log.with_name("other.log")
    lists.log.write_text(line + line.replace(QUEUE_ID, "6AMG4FAU001850"))
    other.write_text(line)
    monkeypatch.setattr("miltscan.commands.lists.usual_files", lambda: [lists.log, other])
    monkeypatch.setattr("miltscan.commands.lists.has_journal", lambda: False)
    assert "applied to 2 messages" in lists.run("lists", "--hits").stdout
    assert json.loads(lists.run("lists", "--hits", "--json").stdout)["hits"] == 2


def test_a_removal(lists: Lists) -> None:
    """It needs a reason, and is in syslog."""
    entry = lists.file.add(listed(list_id="", signature="X"))
    assert lists.run("lists", "remove", entry.id).exit_code == 2
    result = lists.run("lists", "remove", entry.id[:5], "--reason", "fixed")
    assert (result.exit_code, result.stdout) == (0, f"removed {entry.id}: allow signature X\n")
    assert lists.file.read().entries == ()
    (line,) = lists.lines
    assert (line["event"], line["id"], line["reason"]) == ("list_removed", entry.id, "fixed")
    again = lists.run("lists", "remove", entry.id, "--reason", "fixed")
    assert (again.exit_code, again.stderr) == (
        1,
        f"{entry.id}: no entry of the lists; miltscan lists shows the IDs\n",
    )


def test_without_a_file_in_the_settings(lists: Lists) -> None:
    """The key is named."""
    lists.config.write_text('lists.file = ""\n')
    result = lists.run("deny", "X", "--reason", "r")
    assert (result.exit_code, result.stderr) == (
        2,
        'lists.file is "": there are no lists; set it to the path of a file\n',
    )


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that every user can reach, unlike those of pytest."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_makes_the_folder_for_the_service(lists: Lists, reachable: Path) -> None:
    """Folder and file belong to miltscan's user, the owner of the spool; a child writes."""
    spool, state = reachable / "spool", reachable / "state"
    spool.mkdir()
    os.chown(spool, 65534, 65534)
    lists.config.write_text(f'spool.directory = "{spool}"\nlists.file = "{state}/lists.jsonl"\n')
    child = os.fork()
    if child == 0:
        os._exit(lists.run("deny", "X", "--reason", "r").exit_code)
    _, status = os.waitpid(child, 0)
    assert status == 0
    file = state / "lists.jsonl"
    assert (state.stat().st_uid, file.stat().st_uid, oct(file.stat().st_mode & 0o777)) == (65534, 65534, "0o600")
