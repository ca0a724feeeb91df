"""The engines for `miltscan check`: the self-tests of their servers, and how each clamd is configured."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from miltscan.config.engines import EngineTable
from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.core.finding import Level
from miltscan.core.verdict import Fault
from miltscan.doctor import clamd_check
from miltscan.doctor.clamd_limits import clamd_servers
from miltscan.engines.base import Observer
from miltscan.engines.clamd import local
from miltscan.scanning.servers import ServerRecord, ServerRecords
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Scan
from tests.unit.doctor.support import DAY, NOW, bad, bad_subjects, works

A = UnixAddress("/run/a")


@pytest.mark.parametrize(
    ("record", "fatal", "levels"),
    [
        (ServerRecord(up=True, canary=True, version=1, published=NOW - 2 * DAY), True, ["ok", "ok"]),
        (ServerRecord(up=True, canary=True, version=1, published=NOW - 3 * DAY), True, ["ok", "warning"]),
        (ServerRecord(up=True, canary=True), True, ["ok"]),
        (ServerRecord(up=True, canary=False), True, ["error"]),
        (ServerRecord(up=False, why="refused"), True, ["error"]),
        (ServerRecord(up=False, why="refused"), False, ["warning"]),
        (ServerRecord(), True, ["error"]),
    ],
)
def test_a_server_must_pass_its_self_test(record: ServerRecord, levels: list[str], *, fatal: bool) -> None:
    """A dead server is an error if no other one works; signatures of more than two days are a warning."""
    found = clamd_check.server_findings("clamd unix:/run/a", record, NOW, 2 * DAY, fatal=fatal)
    assert levels == [finding.level.value for finding in found]


def test_what_an_engine_reports_is_kept() -> None:
    """A record has state, fault, self-test and signatures of one server of one engine."""
    records = ServerRecords()
    works(Settings(), records)
    records.server_fault("clamd", "other", Fault.CONNECT, "refused")
    passed = ServerRecord(up=True, canary=True, version=27000, published=NOW)
    assert records.of("clamd", "unix:/run/clamav/clamd.ctl") == passed
    assert records.of("clamd", "other") == ServerRecord(why="refused")
    assert records.of("second", "unix:/run/clamav/clamd.ctl") == ServerRecord()


def only_up(*up: tuple[str, Address]) -> Callable[[Settings, Observer], None]:
    """A probe that only these servers pass, each given by the name of its engine and its address."""

    def probe(_settings: Settings, observer: Observer) -> None:
        for engine, server in up:
            observer.canary_passed(engine, str(server))
            observer.server_state(engine, str(server), up=True, why="")

    return probe


def test_findings_name_the_engine_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead server is an error only if no server of its engine works and the engine is required."""
    text = """
        engine = [
            {type = "clamd", name = "first", servers = ["unix:/run/a", "unix:/run/b"]},
            {type = "clamd", name = "second", servers = ["unix:/run/a", "unix:/run/b"], required = false},
            {type = "clamd", name = "third", servers = ["unix:/run/a"]},
        ]
    """
    monkeypatch.setattr(local, "file_of", lambda _: None)
    found = bad_subjects(clamd_check.engine_findings(parse_settings(text.encode(), "f"), only_up(("first", A))))
    assert found == [
        ("warning", "first unix:/run/b"),
        ("warning", "second unix:/run/a"),
        ("warning", "second unix:/run/b"),
        ("error", "third unix:/run/a"),
    ]


@pytest.mark.parametrize(("opens", "expected"), [(False, ["opens no rar"]), (True, [])])
def test_whether_clamd_opens_rar(expected: list[str], *, opens: bool) -> None:
    """It is no fault of the host, and an administrator knows why such mail is unscanned."""

    def behaviour(scan: Scan) -> None:
        is_rar = scan.content().startswith(b"Rar!")
        scan.answer(b"Eicar-Test-Signature FOUND" if opens and is_rar else b"OK")

    with FakeClamd.tcp() as clamd:
        clamd.behaviour = behaviour
        settings = parse_settings(f'clamd.servers = ["{clamd.address}"]'.encode(), "f")
        ((_, server),) = clamd_servers(settings)
        found = list(clamd_check.engine_findings(settings, only_up(("clamd", server))))
    assert [one.text.partition(":")[0] for one in found if "rar" in one.text] == expected
    assert {one.level for one in found} == {Level.OK}


def test_an_engine_of_another_type_has_self_tests_only() -> None:
    """The servers of every type are tested; only those of clamd are compared with a clamd.conf."""
    keys = {"type": "other", "name": "other", "required": True, "servers": [str(A)]}
    other = EngineTable.model_validate(keys)
    settings = Settings().model_copy(update={"clamd": None, "engine": (other,)})
    (found,) = clamd_check.engine_findings(settings, only_up(("other", A)))
    assert (found.subject, found.text) == ("other unix:/run/a", "passes its self-test")


def test_limits_of_clamd_below_ours_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the line and the file to write it in; an unreadable file is a warning, too."""
    file = tmp_path / "clamd.conf"
    monkeypatch.setattr(local, "file_of", lambda _server: file)
    monkeypatch.setattr(clamd_check, "_PRIVATE", ())
    (engine,), settings = Settings().engines, Settings()
    (text,) = bad(clamd_check.clamd_findings(engine, A, settings))
    missing = f"clamd unix:/run/a: {file} is not readable: No such file or directory; limits are not compared"
    assert text == ("warning", missing)
    room = f"MaxThreads 10\nMaxScanSize 100M\nTemporaryDirectory {tmp_path}\n"
    file.write_text(f"MaxFileSize 1M\nAlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 50000\n{room}")
    (found,) = clamd_check.clamd_findings(engine, A, settings)
    assert found.remedy == f'write "MaxFileSize 100M" in {file}'
    file.write_text(f"AlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 50000\n{room}")
    assert bad(clamd_check.clamd_findings(engine, A, settings)) == []


def test_a_clamd_of_another_host_is_not_compared() -> None:
    """Its configuration file is on the other host."""
    (engine,), address = Settings().engines, InetAddress("clamd.example.test", 3310)
    (found,) = clamd_check.clamd_findings(engine, address, Settings())
    text = "the location of its configuration file is unknown; limits are not compared"
    assert (found.level, found.text) == (Level.OK, text)


def room(folder: str, scan_size: str = "100M") -> list[tuple[str, str]]:
    """The findings about a temporary folder."""
    options = {"TemporaryDirectory": folder, "MaxThreads": "10", "MaxScanSize": scan_size}
    return bad(clamd_check.room_findings("clamd unix:/run/a", Path("/c"), options))


def test_a_temporary_folder_without_room_for_all_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder must have room for all threads of clamd at once; without MaxScanSize no room is enough."""
    monkeypatch.setattr(clamd_check, "_PRIVATE", ())
    space = os.statvfs(tmp_path)
    for free, warned in ((1000 * 2**20, False), (1000 * 2**20 - 1, True)):
        values = list(space[:10])
        values[1], values[4] = 1, free
        monkeypatch.setattr(os, "statvfs", lambda _path, values=values: os.statvfs_result(values))
        found = room(str(tmp_path))
        assert bool(found) is warned
    assert "10 scans (MaxThreads) of 100 MiB (MaxScanSize) may take 1000 MiB" in found[0][1]
    ((_, text),) = room(str(tmp_path), "0")
    assert "MaxScanSize 0: one message can fill" in text


def test_a_temporary_folder_that_the_service_does_not_see() -> None:
    """A missing folder has a warning, and so has /tmp, because a unit has a private one."""
    ((level, text),) = room("/gone")
    assert (level, "No such file or directory" in text) == ("warning", True)
    assert ["has a private one" in text for _, text in room("/tmp", "1M")] == [True]  # noqa: S108 - clamd's default


def test_a_server_whose_folder_cannot_be_seen_is_named() -> None:
    """A folder that cannot be seen is ok, because it may be on another host."""
    record = ServerRecord(up=True, canary=True, unseen="it is on another host")
    _, found = clamd_check.server_findings("clamd inet:3310@a", record, NOW, 2 * DAY, fatal=True)
    assert (found.level, found.text.endswith("because it is on another host")) == (Level.OK, True)
