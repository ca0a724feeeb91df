"""`miltscan hold` without sendmail: which messages a user names, what is shown and logged, and the exit status."""

import json
import os
import stat
import syslog
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import Result

from docs.generator import log_events
from miltscan.cli import app
from tests.fakes.runner import CliRunner

HOSTILE = "\x1b[2J\u202e\x9b"
FIRST, SECOND, THIRD = "6AT0tl1r006553", "6AT0tl1r006554", "6AU0tl1r000999"
SCRIPT = """#!/bin/sh
for one; do id=${one#-qI}; done
case $id in
    *553) rm FOLDER/hf$id; echo "<b>... Sent (6AT12cpW005712 Message accepted for delivery)" ;;
    *554) echo "MDeferred: busy" >>FOLDER/hf$id ;;
    *) rm FOLDER/hf$id; echo "550 5.1.1 no such user"; exit 67 ;;
esac
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A queue with three held messages, and a sendmail that delivers, defers and refuses one each."""
    put(tmp_path, FIRST, "a@example.org", ["b@example.test"], "miltscan: Infected (Eicar)")
    put(tmp_path, SECOND, "", ["B@EXAMPLE.TEST", *(f"c{one}@elsewhere.example" for one in range(9))], "why")
    put(tmp_path, THIRD, f"{HOSTILE}@sub.example.org", [f"漢字{HOSTILE}" * 60], HOSTILE * 60)
    (tmp_path / "incoming.cf").write_text(f"O QueueDirectory={tmp_path}\n")
    (tmp_path / "sendmail").write_text(SCRIPT.replace("FOLDER", str(tmp_path)))
    (tmp_path / "sendmail").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def put(folder: Path, queue_id: str, sender: str, recipients: list[str], reason: str) -> None:
    """A held message, as old as the last digits of its queue ID say."""
    time = 9999 - int(queue_id[-3:])
    named = "".join(f"RPFD:<{one}>\n" for one in recipients)
    text = f"V8\nT{time}\nq{reason}\nS<{sender}>\n{named}H??Subject: {reason}\nH??Message-ID: <m>\n.\n"
    (folder / f"hf{queue_id}").write_text(text)
    (folder / f"df{queue_id}").write_text("x" * 2000)


@pytest.fixture(autouse=True)
def audited(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The lines for syslog, each as it is documented."""
    lines: list[dict[str, object]] = []

    def written(_priority: int, text: str) -> None:
        assert log_events.deviations(json.loads(text)) == []
        lines.append(json.loads(text))

    monkeypatch.setattr(syslog, "syslog", written)
    return lines


def hold(queue: Path, name: str, *arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, ["hold", name, "--cf", f"{queue}/incoming.cf", *arguments])


def listed(queue: Path, *arguments: str) -> list[str]:
    """The queue IDs of `list --json`."""
    result = hold(queue, "list", "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line)["queue_id"] for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [FIRST, SECOND, THIRD]),
        (["--sender", "A@example.org"], [FIRST]),
        (["--sender", "<a@example.org>"], [FIRST]),
        (["--sender", "@example.org"], [FIRST]),
        (["--sender", "@sub.example.org"], [THIRD]),
        (["--sender", "<>"], [SECOND]),
        (["--sender", "example.org"], []),
        (["--recipient", "b@example.test"], [FIRST, SECOND]),
        (["--recipient", "@elsewhere.example"], [SECOND]),
        (["--reason", "eicar"], [FIRST]),
        (["--recipient", "b@example.test", "--reason", "WHY"], [SECOND]),
    ],
)
def test_filters(queue: Path, arguments: list[str], expected: list[str]) -> None:
    """All that are given must match; case does not count."""
    assert listed(queue, *arguments) == expected


def test_the_list_fits_and_is_clean(queue: Path) -> None:
    """No line is wider than the terminal, and nothing of a message controls it."""
    text = hold(queue, "list").stdout
    assert max(map(cell_len, text.splitlines())) <= 80
    assert all(line.isprintable() for line in text.splitlines())
    assert text.splitlines()[:3] == [
        "QUEUE ID        ARRIVED              SIZE  REASON",
        text.splitlines()[1],
        "  a@example.org -> b@example.test",
    ]
    assert "  <> -> B@EXAMPLE.TEST, c0@elsewhere.example, c1@elsewhere.example and 7 others\n" in text


def test_an_object_for_each_message(queue: Path) -> None:
    """The keys are an interface."""
    first = json.loads(hold(queue, "list", "--json").stdout.splitlines()[0])
    assert first.pop("arrived").startswith("1970-01-01T")
    assert first == {
        "queue_id": FIRST,
        "size": 2000,
        "reason": "miltscan: Infected (Eicar)",
        "status": "",
        "sender": "a@example.org",
        "recipients": ["b@example.test"],
        "message_id": "<m>",
        "subject": "miltscan: Infected (Eicar)",
    }


@pytest.mark.parametrize("command", ["release", "delete"])
def test_a_command_without_a_choice_does_nothing(queue: Path, command: str) -> None:
    """A queue ID that was forgotten does not mean all messages."""
    assert hold(queue, command).exit_code == 2
    assert listed(queue) == [FIRST, SECOND, THIRD]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("6AT0", f"6AT0: 2 held messages begin so: {FIRST}, {SECOND}\n"),
        ("6", f"6: 3 held messages begin so: {FIRST}, {SECOND}, {THIRD}\n"),
        (f"{FIRST}0", f"{FIRST}0: no message with this queue ID is held\n"),
        ("", ": no message with this queue ID is held\n"),
        ("../6AT", "../6AT: no message with this queue ID is held\n"),
        ("-qQ\x1b", "-qQ\\x1b: no message with this queue ID is held\n"),
    ],
)
def test_a_wrong_queue_id(queue: Path, name: str, text: str) -> None:
    """It is named, and the status is 1; nothing is deleted."""
    result = hold(queue, "delete", "--yes", "--", name)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", text)
    assert listed(queue) == [FIRST, SECOND, THIRD]


def test_a_deletion(queue: Path, audited: list[dict[str, object]]) -> None:
    """Each message that is named once or twice is deleted once and logged; a wrong name does not stop it."""
    result = hold(queue, "delete", "--yes", FIRST[:14], FIRST, "nothing", THIRD[:3])
    assert (result.exit_code, result.stdout) == (1, f"{FIRST}: deleted\n{THIRD}: deleted\n")
    assert listed(queue) == [SECOND]
    assert [(one["event"], one["queue_id"]) for one in audited] == [("held_deleted", FIRST), ("held_deleted", THIRD)]


def test_a_deletion_without_yes(queue: Path, audited: list[dict[str, object]]) -> None:
    """The messages are shown."""
    result = hold(queue, "delete", "--recipient", "b@example.test")
    assert (result.exit_code, result.stderr) == (2, "nothing is deleted; to delete 2 messages, add --yes\n")
    assert f"{FIRST}  " in result.stdout
    assert audited == []
    assert listed(queue) == [FIRST, SECOND, THIRD]


def test_a_release(queue: Path, audited: list[dict[str, object]]) -> None:
    """Each result has its line: delivered on standard output, held and refused on standard error."""
    result = hold(queue, "release", FIRST, SECOND, THIRD)
    assert (result.exit_code, result.stdout) == (1, f"{FIRST}: delivered as 6AT12cpW005712\n")
    assert result.stderr == (
        f"{SECOND}: still held: Deferred: busy\n"
        f"{THIRD}: not delivered: 550 5.1.1 no such user; see: miltscan trace {THIRD}\n"
    )
    assert [(one["event"], one["queue_id"]) for one in audited] == [("held_released", FIRST)]


def test_a_release_for_a_program(queue: Path) -> None:
    """An object for each message."""
    result = hold(queue, "release", "--json", "--reason", "eicar")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {"queue_id": FIRST, "released": True, "delivery": ["6AT12cpW005712"], "held": "", "refused": ""},
    )
    result = hold(queue, "release", "--reason", "eicar")
    assert (result.exit_code, result.stderr) == (1, "no held message matches\n")
