"""The commands on the quarantine: arguments, output, exit status. What they call is tested elsewhere."""

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from typer.testing import Result

from miltscan.cli import app
from miltscan.commands import quarantine_message
from miltscan.quarantine.encoder import Encoder
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.files import Files
from miltscan.scanning.listfile import ListFile
from tests.fakes.delivery import FakeDelivery, fake_delivery
from tests.fakes.entries import MESSAGE, put
from tests.fakes.runner import CliRunner

DAY = 86400.0
CLEAN: dict[str, Any] = {"outcome": "clean", "signature": None}


@dataclass
class Quarantine:
    """A quarantine of this user, its configuration, and the lines that commands wrote to syslog."""

    folder: Path
    lines: list[tuple[str, str, Mapping[str, object]]] = field(default_factory=list)

    @property
    def files(self) -> Files:
        """Its files."""
        return Files(self.folder / "quarantine")

    def configure(self, text: str = "") -> None:
        """Write the configuration, with `text` after the folders."""
        folders = f'spool.directory = "{self.folder}"\nquarantine.directory = "{self.folder}/quarantine"\n'
        (self.folder / "f.toml").write_text(folders + text)

    def put(self, age: float = 0, content: bytes = MESSAGE, **changes: Any) -> str:  # noqa: ANN401 - any field
        """Store an entry of this age (seconds); returns its ID."""
        return put(self.files, content, time=time.time() - age, **changes).id

    def run(self, *arguments: str | Path, given: str = "") -> Result:
        """A run of `miltscan quarantine` within this process."""
        command = ["quarantine", *map(str, arguments), "--config", f"{self.folder}/f.toml"]
        return CliRunner().invoke(app, command, input=given, prog_name="miltscan")

    def objects(self, *arguments: str) -> list[dict[str, object]]:
        """The JSON objects that a command prints."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]


@pytest.fixture
def quarantine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    """An empty one, whose folder does not exist yet."""
    found = Quarantine(tmp_path)
    found.configure()
    for module in ("quarantine_changes", "quarantine_release"):
        monkeypatch.setattr(f"miltscan.commands.{module}.write_audit", lambda *line: found.lines.append(line))
    return found


@pytest.fixture
def delivery(quarantine: Quarantine) -> Iterator[FakeDelivery]:
    """A delivery sendmail that accepts everything, in the configuration."""
    with fake_delivery() as server:
        host, port = server.server
        quarantine.configure(f'delivery.server = "inet:{port}@{host}"\n')
        yield server


@pytest.fixture
def lists(quarantine: Quarantine, delivery: FakeDelivery, monkeypatch: pytest.MonkeyPatch) -> ListFile:  # noqa: ARG001 - it writes the file first
    """Empty lists; what would go to syslog is dropped."""
    with (quarantine.folder / "f.toml").open("a") as file:
        file.write(f'lists.file = "{quarantine.folder}/lists.jsonl"\n')
    monkeypatch.setattr("miltscan.commands.lists_common.write_audit", lambda *_: None)
    return ListFile(quarantine.folder / "lists.jsonl")


COMMANDS = {
    "list": 0,
    "search x": 1,
    "show 0": 1,
    "release 0": 1,
    "download 0": 1,
    "delete 0 --yes": 1,
    "expire": 0,
    "check": 0,
    "stats": 0,
}
"""Each command, and its status where nothing was ever quarantined."""


@pytest.mark.parametrize(("command", "status"), COMMANDS.items())
def test_nothing_is_quarantined_yet(quarantine: Quarantine, command: str, status: int) -> None:
    """One line says so, and nothing is created."""
    result = quarantine.run(*command.split())
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr == f"nothing is quarantined yet: {quarantine.folder}/quarantine does not exist\n"
    assert [path.name for path in quarantine.folder.iterdir()] == ["f.toml"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_configuration_is_status_2(quarantine: Quarantine, command: str) -> None:
    """Every mistake on standard error, no traceback."""
    quarantine.configure("colour = 1\n")
    result = quarantine.run(*command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"{quarantine.folder}/f.toml: colour: unknown key\n"


def test_a_list_is_newest_first_and_says_how_many_more(quarantine: Quarantine) -> None:
    """Titles, then a few lines for each entry; in JSON an object each, with --ids only the IDs."""
    ids = [quarantine.put(age) for age in (3, 2, 1)]
    result = quarantine.run("list", "--limit", "2")
    assert result.stdout.startswith("ID  ")
    assert [line.split()[0] for line in result.stdout.splitlines()[1::3]] == ids[:0:-1]
    assert (result.exit_code, result.stderr) == (0, "and 1 older entry; --limit 0 shows all\n")
    assert [one["id"] for one in quarantine.objects("list")] == ids[::-1]
    assert quarantine.run("list", "--ids", "--limit", "0").stdout.split() == ids[::-1]


def test_pages_have_titles_once(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many entries a part is read at a time, which is not to be seen."""
    monkeypatch.setattr("miltscan.commands.quarantine_list._PAGE", 2)
    ids = [quarantine.put(age) for age in range(5, 0, -1)]
    shown = quarantine.run("list", "--limit", "5").stdout
    assert shown.count("RECEIVED") == 1
    assert [line.split()[0] for line in shown.splitlines()[1::3]] == ids[::-1]
    assert quarantine.run("list", "--limit", "3", "--ids").stdout.split() == ids[:1:-1]


def test_an_empty_list(quarantine: Quarantine) -> None:
    """The status is 0; a filter without a result is no mistake either."""
    quarantine.files.prepare()
    assert (quarantine.run("list").stderr, quarantine.run("list").exit_code) == ("no entries\n", 0)
    assert (quarantine.run("list", "--area", "x").stderr, quarantine.run("stats").stdout[:11]) == (
        "no entry matches\n",
        "no entries\n",
    )


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("--area", "macros", "a"),
        ("--sender", "bill@example.net", "a"),
        ("--sender", "@example.net", "a"),
        ("--recipient", "carl@example.com", "a"),
        ("--signature", "Win.*", "a"),
        ("--state", "stored", "ab"),
        ("--state", "cleared", "c"),
        ("--since", "1d", "c"),
        ("--until", "1d", "ab"),
        ("--since", "2000-01-01", "abc"),
        ("--until", "2000-01-01T10:30", ""),
    ],
)
def test_filters(quarantine: Quarantine, option: str, value: str, found: str) -> None:
    """Each option, for a list and for a deletion."""
    changes: dict[str, Any] = {
        "area": "macros",
        "sender": b"<bill@example.net>",
        "recipients": (b"<Carl@example.com>",),
    }
    ids = {
        "a": quarantine.put(3 * DAY, signature="Win.Test", **changes),
        "b": quarantine.put(2 * DAY),
        "c": quarantine.put(),
    }
    quarantine.files.record(ids["c"], Event(time.time(), "keeper", State.CLEARED))
    expected = {ids[name] for name in found}
    assert set(quarantine.run("list", option, value, "--ids").stdout.split()) == expected
    deleted = quarantine.run("delete", option, value, "--yes")
    assert deleted.exit_code == int(not found)
    assert set(quarantine.run("list", "--ids").stdout.split()) == {*ids.values()} - expected


@pytest.mark.parametrize("value", ["yesterday", "1", "2026-13-01", "2d 3h", "-1d", "0001-01-01"])
def test_a_time_that_is_none(quarantine: Quarantine, value: str) -> None:
    """A mistake of usage, with examples of what is expected."""
    result = quarantine.run("list", f"--since={value}")
    assert result.exit_code == 2 or value == "0001-01-01"
    assert "Traceback" not in result.stdout + result.stderr


def test_a_search(quarantine: Quarantine) -> None:
    """The status is 1 if nothing is found, as that of grep."""
    entry_id = quarantine.put(subject="Rechnung", queue_id="6AMG4FAU001849", message_id=b"<cb02@example.org>")
    for text in ("rechnung", "6amg4fau", "<CB02@", "ann@example", "sender@client", "phishing hello", "Heuristics"):
        result = quarantine.run("search", text, "--ids")
        assert (result.exit_code, result.stdout) == ((0, f"{entry_id}\n") if text != "phishing hello" else (1, "")), (
            text
        )
    assert quarantine.run("search", "other").stderr == "no entry matches\n"


def test_an_entry_is_shown(quarantine: Quarantine) -> None:
    """By its ID or a part of it; with the time of its deletion."""
    entry_id = quarantine.put()
    shown = quarantine.run("show", entry_id)
    assert shown.exit_code == 0
    assert shown.stdout.startswith(f"{entry_id}\n  state       stored\n")
    assert "\n  area        default, deleted after " in shown.stdout
    assert quarantine.run("show", entry_id[:12].upper()).stdout == shown.stdout
    assert quarantine.objects("show", entry_id)[0]["id"] == entry_id


def test_the_message_of_an_entry(quarantine: Quarantine) -> None:
    """The bytes as received; of the header nothing of the body."""
    entry_id = quarantine.put(content=b"Subject: a\r\n b\r\n\r\nbody \xff\x00\r\n")
    assert quarantine.run("show", entry_id, "--raw").stdout_bytes == b"Subject: a\r\n b\r\n\r\nbody \xff\x00\r\n"
    assert quarantine.run("show", entry_id, "--headers").stdout_bytes == b"Subject: a\r\n b\r\n"
    assert quarantine.run("show", entry_id, "--headers", "--raw").exit_code == 2


@pytest.mark.parametrize("command", ["show", "release", "download", "delete --yes"])
def test_an_id_that_names_no_entry(quarantine: Quarantine, command: str) -> None:
    """Missing, ambiguous or no ID at all: one line and status 1."""
    first, second = quarantine.put(2), quarantine.put(1)
    for text, line in [
        ("zzzz", f"no entry in the quarantine {quarantine.folder}/quarantine begins with 'zzzz'"),
        ("0", f"several entries begin with '0': {first}, {second}"),
        ("../x", "../x: not an ID; expected the beginning of one that list shows"),
        (first[:-1] + ("0" if first[-1] != "0" else "1"), "no entry"),
    ]:
        result = quarantine.run(*command.split(), text)
        assert result.exit_code == 1
        assert result.stderr.startswith(line)
        assert len(result.stderr.splitlines()) == 1
    assert len(quarantine.run("list", "--ids").stdout.split()) == 2


def test_a_download(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive with the message, for its user only; a file that exists stays as it is."""
    monkeypatch.chdir(quarantine.folder)
    entry_id = quarantine.put()
    result = quarantine.run("download", entry_id)
    file = quarantine.folder / f"{entry_id}.zip"
    assert (result.exit_code, result.stdout) == (0, f"{file.name}: saved\n")
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        assert (archive.namelist(), archive.read(f"{entry_id}.eml")) == ([f"{entry_id}.eml"], MESSAGE)
    file.write_bytes(b"mine" * 1000)
    refused = quarantine.run("download", entry_id)
    assert (refused.exit_code, file.read_bytes()) == (1, b"mine" * 1000)
    assert refused.stderr == f"{file.name}: exists; expected a new --output, or --force to overwrite it\n"
    assert quarantine.run("download", entry_id, "--force").exit_code == 0
    assert zipfile.is_zipfile(file)
    printed = quarantine.run("download", entry_id, "--output", "-")
    assert zipfile.ZipFile(io.BytesIO(printed.stdout_bytes)).read(f"{entry_id}.eml") == MESSAGE


def test_a_download_that_fails_leaves_no_file(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for an entry that does not exist, nor in a folder that does not, nor on a full disk."""
    entry_id, file = quarantine.put(), quarantine.folder / "a.zip"
    assert quarantine.run("download", "zzz", "--output", file).exit_code == 1
    absent = quarantine.run("download", entry_id, "--output", "/absent/a.zip")
    assert (absent.exit_code, absent.stderr) == (1, "/absent/a.zip: cannot be written: no such file or directory\n")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(quarantine_message, "copyfileobj", full)
    monkeypatch.setattr(quarantine_message, "_pack", lambda *_: None)
    result = quarantine.run("download", entry_id, "--output", file)
    assert (result.exit_code, result.stderr) == (1, f"{file}: cannot be written: no space left on device\n")
    assert not file.exists()


INFECTED = ("--infected", "--reason", "false positive")


def test_a_release(quarantine: Quarantine, delivery: FakeDelivery) -> None:
    """The queue ID of the delivery sendmail is printed, and a line in syslog says who released what."""
    entry_id = quarantine.put()
    refused = quarantine.run("release", entry_id)
    assert (refused.exit_code, refused.stdout, len(delivery.messages)) == (1, "", 0)
    assert "use --infected and --reason" in refused.stderr
    result = quarantine.run("release", entry_id, *INFECTED)
    queue_id = quarantine.files.events(entry_id)[-1].queue_id
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{entry_id}\n  released to ann@example.com, bob@example.org as {queue_id}\n"
    assert delivery.messages[0].recipients == ["<ann@example.com>", "<bob@example.org>"]
    event, level, fields = quarantine.lines[0]
    assert (event, level, fields["delivery"], fields["reason"]) == ("released", "info", queue_id, "false positive")
    assert "QUEUE ID" in quarantine.run("show", entry_id).stdout
    assert quarantine.run("list", "--state", "released", "--ids").stdout == f"{entry_id}\n"
    again = quarantine.run("release", entry_id, *INFECTED)
    assert (again.exit_code, len(delivery.messages)) == (1, 1)
    assert quarantine.run("release", entry_id, *INFECTED, "--again").exit_code == 0


@pytest.mark.usefixtures("delivery", "utc")
def test_a_release_that_allows_the_next_ones(quarantine: Quarantine, lists: ListFile) -> None:
    """The entry names the signature and the sender; without a detection nothing is released either."""
    entry_id = quarantine.put()
    result = quarantine.run("release", entry_id, *INFECTED, "--allow", "--until", "2096-10-01")
    (entry,) = lists.read().entries
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == (
        f"added {entry.id}: allow signature Heuristics.Phishing.Email, sender sender@client.example, "
        "until 2096-10-02 00:00"
    )
    assert (entry.signature, entry.sender, entry.reason) == (
        "Heuristics.Phishing.Email",
        "sender@client.example",
        "false positive",
    )
    assert entry.by == quarantine.files.events(entry_id)[-1].by
    (found,) = quarantine.objects("release", quarantine.put(), *INFECTED, "--allow")
    assert found["allowed"] == lists.read().entries[-1].id
    nothing = quarantine.put(**CLEAN)
    refused = quarantine.run("release", nothing, "--reason", "x", "--allow")
    assert (refused.exit_code, "nothing was detected in it" in refused.stderr) == (1, True)
    assert quarantine.files.events(nothing) == ()


def test_a_release_that_fails_allows_nothing(quarantine: Quarantine, delivery: FakeDelivery, lists: ListFile) -> None:
    """A recipient still waits for the message: the command is repeated with --allow."""
    delivery.refusals = {"<ann@example.com>": "550 5.1.1 User unknown"}
    assert quarantine.run("release", quarantine.put(), *INFECTED, "--allow").exit_code == 1
    assert not lists.read()


def test_a_release_whose_lists_cannot_be_written(
    quarantine: Quarantine, delivery: FakeDelivery, lists: ListFile
) -> None:
    """The message is released, and the status is 1."""
    lists.path.mkdir()
    result = quarantine.run("release", quarantine.put(), *INFECTED, "--allow")
    assert (result.exit_code, len(delivery.messages)) == (1, 1)
    assert "lists.file must be a file of miltscan's user" in result.stderr


def test_a_release_that_fails_in_part(quarantine: Quarantine, delivery: FakeDelivery) -> None:
    """Each reply is printed once, with its recipients and the remedy; the status is 1."""
    recipients = tuple(b"<user%d@example.org>" % number for number in range(7))
    entry_id = quarantine.put(**CLEAN, recipients=(*recipients, b"<ann@example.com>"))
    delivery.refusals = {one.decode(): "550 5.1.1 User unknown" for one in recipients}
    result = quarantine.run("release", entry_id)
    names = ", ".join(f"user{number}@example.org" for number in range(5))
    text = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert f"not released to {names} and 2 more: 550 5.1.1 User unknown -> if only incoming's aliases" in text
    assert "released to ann@example.com as 6AMG" in text
    assert [line[0] for line in quarantine.lines] == ["release_failed", "released"]
    (found,) = quarantine.objects("release", entry_id)
    assert found["id"] == entry_id
    assert found["deliveries"][0]["recipient"] == "user0@example.org"  # type: ignore[index]


def test_a_release_to_some(quarantine: Quarantine, delivery: FakeDelivery) -> None:
    """One recipient of the entry, with or without angle brackets, or another address."""
    entry_id = quarantine.put(**CLEAN)
    assert quarantine.run("release", entry_id, "--recipient", "Ann@example.com").exit_code == 0
    assert quarantine.run("release", entry_id, "--to", "<lab@example.net>").exit_code == 0
    assert [one.recipients for one in delivery.messages] == [["<ann@example.com>"], ["<lab@example.net>"]]
    assert quarantine.objects("show", entry_id)[0]["recipients"] == [
        {"recipient": "ann@example.com", "state": "released"},
        {"recipient": "bob@example.org", "state": "stored"},
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--infected"],
        ["--infected", "--reason", " "],
        ["--to", "a b"],
        ["--to", "<>"],
        ["--allow"],
        ["--until", "30d"],
        ["--allow", "--reason", "x", "--until", "2020-01-01"],
    ],
)
def test_a_release_with_wrong_options(quarantine: Quarantine, options: list[str]) -> None:
    """A mistake of usage sends nothing."""
    result = quarantine.run("release", quarantine.put(), *options)
    assert (result.exit_code, result.stdout) == (2, "")


def test_one_of_several_releases_fails(quarantine: Quarantine, delivery: FakeDelivery) -> None:
    """The others are released all the same."""
    first, second = quarantine.put(2, **CLEAN), quarantine.put(1, **CLEAN)
    result = quarantine.run("release", first, "zzz", second)
    assert (result.exit_code, len(delivery.messages), len(result.stderr.splitlines())) == (1, 2, 1)


def test_a_deletion(quarantine: Quarantine) -> None:
    """By ID, each once, with a line in syslog; what is not there is status 1."""
    first, second, third = (quarantine.put(age) for age in (3, 2, 1))
    result = quarantine.run("delete", first, first[:-1], "--yes")
    assert (result.exit_code, result.stdout) == (0, "deleted 1 entry\n")
    event, level, fields = quarantine.lines[0]
    assert (event, level, fields["entry"], fields["reason"]) == ("entry_deleted", "info", first, "deleted by hand")
    missing = quarantine.run("delete", first, second, "--yes")
    assert (missing.exit_code, missing.stdout) == (1, "deleted 1 entry\n")
    assert missing.stderr.startswith(f"no entry '{first}'")
    assert quarantine.objects("delete", third, "--yes") == [{"id": third, "deleted": True}]
    assert quarantine.run("list").stderr == "no entries\n"


@pytest.mark.parametrize("options", [[], ["--yes"], ["0", "--area", "x", "--yes"], ["0"]])
def test_a_deletion_with_wrong_options(quarantine: Quarantine, options: list[str]) -> None:
    """Nothing to delete, IDs and a filter, or no terminal to ask: a mistake of usage."""
    quarantine.put()
    assert quarantine.run("delete", *options).exit_code == 2
    assert quarantine.run("list", "--ids").stdout


def test_an_entry_in_release_is_not_deleted(quarantine: Quarantine) -> None:
    """Its release would write to files that are gone."""
    entry_id = quarantine.put()
    with quarantine.files.claim(entry_id) as claimed:
        assert claimed
        result = quarantine.run("delete", entry_id, "--yes")
    assert (result.exit_code, result.stdout) == (1, "deleted 0 entries\n")
    assert result.stderr == f"entry {entry_id}: is being released. Try again later.\n"


def test_expiry(quarantine: Quarantine) -> None:
    """What the bounds of areas do not allow is deleted, each with a line in syslog."""
    quarantine.configure('[quarantine.area.default]\nmax_age = "30d"\nmax_entries = 2\n')
    old = quarantine.put(31 * DAY)
    kept = [quarantine.put(age) for age in (2, 1)]
    assert quarantine.run("expire").stdout == "deleted 1 entry: 1 by age\n"
    third = quarantine.put()
    assert quarantine.objects("expire") == [{"deleted": 1, "by": {"entries": 1}}]
    assert quarantine.run("expire").stdout == "deleted 0 entries\n"
    assert quarantine.run("list", "--ids").stdout.split() == [third, kept[1]]
    assert [line[2]["entry"] for line in quarantine.lines] == [old, kept[0]]


def test_a_check(quarantine: Quarantine) -> None:
    """A broken file is status 1; --quick does not read messages."""
    entry_id, broken = quarantine.put(2), quarantine.put(1)
    assert quarantine.run("check").stdout == "entries: 2, broken: 0; rows added: 0, changed: 0, removed: 0\n"
    (file,) = quarantine.files.directory.rglob(f"{broken}.entry")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    stray = file.with_name("stray")
    stray.write_text("")
    result = quarantine.run("check")
    assert result.exit_code == 1
    first, second, last = result.stdout.splitlines()
    assert first.startswith(f"{file}: ")
    assert second == f"{stray}: is not a file of miltscan; remove it"
    assert last == "entries: 2, broken: 1; rows added: 0, changed: 0, removed: 0"
    assert quarantine.run("check", "--quick").exit_code == 0
    printed = json.loads(quarantine.run("check", "--json").stdout)
    assert (printed["broken"][0]["file"], printed["foreign"], printed["entries"]) == (str(file), [str(stray)], 2)
    assert quarantine.run("show", entry_id).exit_code == 0
    shown = quarantine.run("show", broken, "--raw")
    assert (shown.exit_code, shown.stdout, len(shown.stderr.splitlines())) == (1, "", 1)
    file.write_bytes(b"nothing")
    assert quarantine.run("delete", broken, "--yes").stdout == "deleted 1 entry\n"
    assert quarantine.run("check").stdout.startswith(f"{stray}: is not a file of miltscan; remove it\nentries: 1, ")


def test_statistics(quarantine: Quarantine) -> None:
    """A row for each area with the entries of each state, and those whose last release failed."""
    failed, cleared, _ = quarantine.put(3), quarantine.put(2), quarantine.put(DAY, area="macros")
    quarantine.files.record(failed, Event(time.time(), "a", State.RELEASING))
    quarantine.files.record(failed, Event(time.time(), "a", State.STORED, reply="450"))
    quarantine.files.record(cleared, Event(time.time(), "keeper", State.CLEARED))
    titles, default, macros, free = quarantine.run("stats").stdout.splitlines()
    assert titles.split() == ["AREA", "ENTRIES", "SIZE", "STORED", "CLEARED", "RELEASED", "FAILED", "OLDEST"]
    assert default.split()[:2] + default.split()[4:8] == ["default", "2", "1", "1", "0", "1"]
    assert macros.split()[:2] + macros.split()[4:8] == ["macros", "1", "1", "0", "0", "0"]
    assert free.startswith("free on its disk: ")
    printed = json.loads(quarantine.run("stats", "--json").stdout)
    assert printed["waiting"] == 0
    assert printed["areas"][0]["states"] == {"stored": 1, "cleared": 1, "releasing": 0, "released": 0, "deleted": 0}


def test_without_the_index(quarantine: Quarantine, delivery: FakeDelivery) -> None:
    """A line with the remedy where the index is needed; a whole ID needs none."""
    entry_id = quarantine.put(**CLEAN)
    port = delivery.server[1]
    closed = f'delivery.server = "inet:{port}@127.0.0.1"\nquarantine.index = "sqlite:////absent/index.sqlite"\n'
    quarantine.configure(closed)
    for command in ("list", "search x", "stats", "expire", "check", f"show {entry_id[:9]}", f"delete {entry_id} --yes"):
        result = quarantine.run(*command.split())
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1), command
        assert "With a whole ID, show, download and release work without it." in result.stderr
    assert quarantine.run("show", entry_id).exit_code == 0
    assert quarantine.run("download", entry_id, "--output", quarantine.folder / "a.zip").exit_code == 0
    assert quarantine.run("release", entry_id).exit_code == 0
    quarantine.configure()
    assert quarantine.run("list", "--state", "released", "--ids").stdout == f"{entry_id}\n"


def test_a_damaged_index_is_made_again(quarantine: Quarantine) -> None:
    """With a line that says so; the list is complete."""
    entry_id = quarantine.put()
    quarantine.run("list")
    for file in quarantine.files.directory.glob("index.sqlite*"):
        file.unlink()
    (quarantine.files.directory / "index.sqlite").write_bytes(b"no database " * 1000)
    result = quarantine.run("list", "--ids")
    assert (result.exit_code, result.stdout) == (0, f"{entry_id}\n")
    assert "made again from 1 entries" in result.stderr


def test_a_locked_index_is_one_line(quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that holds it for too long."""
    monkeypatch.setattr("miltscan.quarantine.database._PATIENCE", 0.1)
    entry_id = quarantine.put()
    quarantine.run("list")
    quarantine.put()
    engine = create_engine(f"sqlite:///{quarantine.files.directory}/index.sqlite")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        result = quarantine.run("list")
    engine.dispose()
    assert (result.exit_code, result.stdout) == (1, "")
    assert "locked. " in result.stderr
    assert "try again later" in result.stderr
    assert quarantine.run("show", entry_id).exit_code == 0


def test_an_encrypted_entry(quarantine: Quarantine, delivery: FakeDelivery) -> None:
    """Its facts are shown to everybody; its message requires the identity, from the option or the setting."""
    key = pytest.importorskip("pyrage").x25519.Identity.generate()
    encoder = Encoder(compress=True, encrypt_to=(str(key.to_public()),))
    entry_id = put(quarantine.files, MESSAGE, encoder, time=time.time(), **CLEAN).id
    file, archive = quarantine.folder / "key", quarantine.folder / "a.zip"
    file.write_text(f"# a comment\n{key}\n")
    assert "(zstd, age)" in quarantine.run("show", entry_id).stdout
    for command in (["show", entry_id, "--raw"], ["download", entry_id, "--output", archive], ["release", entry_id]):
        closed = quarantine.run(*command)
        assert (closed.exit_code, closed.stdout) == (1, "")
        assert "or --identity FILE" in closed.stderr
        assert quarantine.run(*command, "--identity", file).exit_code == 0
    assert zipfile.ZipFile(archive).read(f"{entry_id}.eml") == MESSAGE
    assert len(delivery.messages) == 1
    quarantine.configure(f'quarantine.identity = "{file}"\n')
    assert quarantine.run("show", entry_id, "--raw").stdout_bytes == MESSAGE
    absent = quarantine.run("show", entry_id, "--raw", "--identity", quarantine.folder / "absent")
    assert (absent.exit_code, len(absent.stderr.splitlines())) == (2, 1)
    file.write_text("nonsense\n")
    wrong = quarantine.run("show", entry_id, "--raw")
    assert (wrong.exit_code, wrong.stderr) == (
        1,
        f"{file}: line 1 is not an age identity. Expected AGE-SECRET-KEY-1...\n",
    )
