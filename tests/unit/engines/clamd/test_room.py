"""The temporary folder of a clamd, here of a process of that name: when its OK counts, and when it does not."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from miltscan.core.address import UnixAddress, parse_address
from miltscan.core.mounts import MountedPath
from miltscan.core.room import Folder
from miltscan.core.verdict import Limit, Outcome, Verdict
from miltscan.engines.clamd import room as clamd_room
from miltscan.engines.clamd import watch as clamd_watch
from miltscan.engines.clamd.engine import ClamdEngine
from miltscan.engines.clamd.local import effective_options
from miltscan.engines.clamd.room import Room
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.unit.engines.clamd.test_local import process
from tests.unit.engines.support import Memo, message, nothing, soon

NEVER = 3600.0  # seconds
CLEAN = b"Subject: hello\r\n\r\nhello\r\n"


@pytest.fixture(autouse=True)
def _new_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look of an earlier scan serves for the next one, but where a test wants it."""
    monkeypatch.setattr(clamd_room, "_FRESH", 0.0)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """The folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def address(tmp_path: Path, temporary: Path) -> Iterator[UnixAddress]:
    """The address of a running process whose file names the folder."""
    text = f"LocalSocket {tmp_path}/ctl\nTemporaryDirectory {temporary}\nMaxScanSize 20M\n"
    with process(tmp_path, text, "-c", "our.conf"):
        yield UnixAddress(f"{tmp_path}/ctl")


@pytest.fixture
def room(address: UnixAddress) -> Room:
    """The folder, found."""
    room = Room(address)
    room.survey()
    assert room.unseen == ""
    return room


def looked(room: Room, size: int = 0) -> str:
    """What the looks before and after a scan say."""
    glance = room.glance(size)
    assert glance is not None
    return glance.look()


def test_a_folder_with_room(room: Room, temporary: Path) -> None:
    """The folder has room before and after a scan, with any files in it."""
    glance = room.glance(1000)
    assert glance is not None
    (temporary / "clamav-1").touch()
    assert glance.look() == ""


def test_a_folder_that_vanishes(room: Room, temporary: Path) -> None:
    """A folder that was missing once counts as missing until the end of the scan."""
    glance = room.glance(0)
    assert glance is not None
    temporary.rmdir()
    assert glance.look() == f"its temporary folder {temporary}: No such file or directory"
    temporary.mkdir()
    assert glance.look().endswith("No such file or directory")
    assert looked(room) == ""


def test_a_folder_that_is_replaced_during_the_scan(room: Room, temporary: Path) -> None:
    """Both have room, but clamd's files went into one of them and were looked for in the other."""
    glance = room.glance(0)
    assert glance is not None
    temporary.rename(temporary.parent / "old")
    temporary.mkdir()
    assert glance.look().endswith("replaced by another folder during the scan")


def test_a_full_folder_and_one_that_is_too_small(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The free space is compared with what this message may take, MaxScanSize at most."""
    real = clamd_room.TemporaryFolder.state
    monkeypatch.setattr(clamd_room.TemporaryFolder, "state", lambda self: real(self)._replace(free=18 * 2**20))
    assert looked(room) == ""
    assert looked(room, 2**20).endswith("18 MiB are free, 20 MiB are needed")


def test_a_read_only_file_system(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mounts of clamd count, not ours; they are read again within a second, and at once when they change."""
    assert looked(room) == ""
    monkeypatch.setattr(clamd_room, "mounted_path", lambda _table, _path: MountedPath("1:1", "/", read_only=True))
    assert looked(room) == ""
    monkeypatch.setattr(clamd_room, "_MOUNTS_EVERY", 0.0)
    assert looked(room).endswith("its file system is read-only")


def test_a_mount_that_hides_the_folder_from_us(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clamd and this process no longer see the same folder."""
    monkeypatch.setattr(clamd_room, "_MOUNTS_EVERY", 0.0)
    monkeypatch.setattr(clamd_room, "same_place", lambda _table, _path: False)
    assert looked(room).endswith("clamd has another folder mounted there")


def test_a_folder_that_is_missing_from_the_start(tmp_path: Path, temporary: Path) -> None:
    """The first look finds that the folder is missing."""
    temporary.rmdir()
    text = f"LocalSocket {tmp_path}/ctl\nTemporaryDirectory {temporary}\n"
    with process(tmp_path, text, "-c", "our.conf"):
        room = Room(UnixAddress(f"{tmp_path}/ctl"))
        room.survey()
    assert looked(room).endswith("No such file or directory")


def test_a_folder_that_cannot_be_seen_costs_one_look_at_the_options(
    address: UnixAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look starts a process, and each self-test of each worker looks for the folder again."""
    monkeypatch.setattr(clamd_room, "same_place", lambda _table, _path: False)
    with mock.patch.object(clamd_room, "effective_options", wraps=effective_options) as asked:
        room, before = Room(address), len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number
        for _ in range(3):
            room.survey()
    assert room.unseen.endswith("one of them has mounts of its own")
    assert asked.call_count == 1
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a number


def test_what_cannot_be_seen_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a visible process, file or folder there is no look, but a reason."""
    room = Room(UnixAddress(f"{tmp_path}/ctl"))
    room.survey()
    assert room.unseen.startswith("no process of clamd")
    assert room.glance(0) is None
    remote = Room(parse_address("inet:3310@clamd.example.test"))
    remote.survey()
    assert remote.unseen == "it is on another host"
    monkeypatch.setattr(clamd_room, "same_place", lambda _table, _path: False)
    with process(tmp_path, f"LocalSocket {tmp_path}/ctl\nTemporaryDirectory {tmp_path}\n", "-c", "our.conf"):
        room.survey()
    assert room.unseen == f"it sees another {tmp_path} than miltscan: one of them has mounts of its own"


def test_a_clamd_that_ended_and_that_its_parent_does_not_reap(tmp_path: Path, temporary: Path) -> None:
    """Such a process must not count as clamd: no mail would be accepted."""
    room = Room(UnixAddress(f"{tmp_path}/ctl"))
    text = f"LocalSocket {tmp_path}/ctl\nTemporaryDirectory {temporary}\n"
    with process(tmp_path, text, "-c", "our.conf") as pid:
        room.survey()
        assert looked(room) == ""
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        room.survey()
        assert room.unseen.startswith("no process of clamd")


def test_a_clamd_that_starts_again_or_has_another_file_is_found_again(tmp_path: Path, temporary: Path) -> None:
    """The folder of the new configuration is the one that counts."""
    other = tmp_path / "other"
    room = Room(UnixAddress(f"{tmp_path}/ctl"))
    text = f"LocalSocket {tmp_path}/ctl\nTemporaryDirectory "
    with process(tmp_path, f"{text}{temporary}\n", "-c", "our.conf"):
        room.survey()
        assert looked(room) == ""
        room.survey()
        (tmp_path / "our.conf").write_text(f"{text}{other}\n")
        room.survey()
        assert looked(room).startswith(f"its temporary folder {other}:")
    (tmp_path / "clamd").unlink()
    (tmp_path / "ctl").unlink()
    with process(tmp_path, f"{text}{temporary}\n", "-c", "our.conf"):
        room.survey()
        assert looked(room) == ""


def test_surveys_keep_no_descriptors(room: Room, tmp_path: Path) -> None:
    """Each new survey closes the descriptors of the previous folder."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a number
    for number in range(5):
        os.utime(tmp_path / "our.conf", (number, number))
        room.survey()
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - a number


@pytest.fixture
def served(tmp_path: Path, temporary: Path) -> Iterator[tuple[ClamdEngine, Memo, FakeClamd]]:
    """An engine with a fake clamd, whose process is another one that names the folder."""
    text = f"LocalSocket {tmp_path}/clamd.ctl\nTemporaryDirectory {temporary}\n"
    with process(tmp_path, text, "-c", "our.conf"), FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        memo = Memo()
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, memo)
        engine.probe()
        yield engine, memo, clamd


def scan(engine: ClamdEngine, data: bytes = CLEAN) -> Verdict:
    """The verdict on a message."""
    with message(data) as made:
        return engine.scan(made, soon(), nothing)


def test_an_ok_without_room_does_not_count(served: tuple[ClamdEngine, Memo, FakeClamd], temporary: Path) -> None:
    """The message is unscanned, and the server is degraded and tested again; a virus that it finds counts."""
    engine, memo, clamd = served
    assert scan(engine).outcome is Outcome.CLEAN
    shutil.rmtree(temporary)
    verdict = scan(engine)
    assert (verdict.outcome, verdict.reason, verdict.server) == (Outcome.UNSCANNED, Limit.ENGINE_UNABLE, clamd.address)
    assert [server for server, _ in memo.degraded] == [clamd.address]
    clamd.behaviour = lies.says(b"Any.Virus FOUND")
    assert scan(engine).outcome is Outcome.INFECTED


def test_a_long_scan_is_looked_at_in_its_middle(
    served: tuple[ClamdEngine, Memo, FakeClamd], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is room before the scan and after it."""
    engine, _memo, clamd = served
    clamd.behaviour = slow = lies.Slow()
    ticks = iter(range(100))
    free, real = [2**30], clamd_room.TemporaryFolder.state
    monkeypatch.setattr(clamd_room.TemporaryFolder, "state", lambda self: real(self)._replace(free=free[0]))

    def tick() -> None:
        match next(ticks):
            case 0:
                free[0] = 0
            case 2:
                free[0] = 2**30
            case 4:
                slow.released.set()

    with message(CLEAN) as made:
        verdict = engine.scan(made, soon(), tick)
    assert (verdict.reason, "0 MiB are free" in verdict.detail) == (Limit.ENGINE_UNABLE, True)


def test_a_self_test_without_room_fails(served: tuple[ClamdEngine, Memo, FakeClamd], temporary: Path) -> None:
    """A server without room for any message is down with the reason, the cause first, and up again with its folder."""
    engine, memo, clamd = served
    usual, gone = clamd.behaviour, f"its temporary folder {temporary}: No such file or directory"
    shutil.rmtree(temporary)
    engine.probe()
    assert not engine.ready
    assert memo.states[-1] == (clamd.address, False, gone)
    temporary.mkdir()
    engine.probe()
    clamd.behaviour = lies.says(b"OK")
    shutil.rmtree(temporary)
    engine.probe()
    (_, up, why) = memo.states[-1]
    assert not up
    assert why.startswith(f"{gone}; "), why
    clamd.behaviour = usual
    temporary.mkdir()
    for _ in range(2):  # a lie is disproved by large self-tests
        engine.probe()
    engine.probe()
    assert engine.ready


def test_a_degraded_server_recovers_after_a_calm_minute(
    served: tuple[ClamdEngine, Memo, FakeClamd], temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next self-test is not enough, because only some messages need much room."""
    engine, memo, clamd = served
    temporary.rmdir()
    scan(engine)
    temporary.mkdir()
    engine.probe()
    assert len(memo.degraded) == 1
    monkeypatch.setattr(clamd_watch, "CALM", 0.0)
    engine.probe()
    assert memo.degraded[-1] == (clamd.address, "")
    assert len(memo.degraded) == 2


def test_another_server_scans_what_one_could_not(
    served: tuple[ClamdEngine, Memo, FakeClamd], tmp_path: Path, temporary: Path
) -> None:
    """Another server is asked before the message is unscanned."""
    _engine, memo, clamd = served
    with FakeClamd.unix(tmp_path / "second") as second:
        engine = ClamdEngine("clamd", [parse_address(one.address) for one in (clamd, second)], NEVER, memo)
        engine.probe()
        temporary.rmdir()
        assert [scan(engine).server for _ in range(4)] == [second.address] * 4


def test_a_folder_that_cannot_be_seen_is_reported_once(tmp_path: Path) -> None:
    """A fake clamd without a process: only self-tests show whether it has room."""
    memo = Memo()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, memo)
        engine.probe()
        engine.probe()
        assert scan(engine).outcome is Outcome.CLEAN
    assert [why.partition(" with")[0] for _, why in memo.unwatched] == ["no process of clamd"]


def test_states_of_a_folder(room: Room, temporary: Path) -> None:
    """Which folder it is, its owner and mode, and what is free."""
    folder = room._folder  # noqa: SLF001 - the state is not shown elsewhere
    assert folder is not None
    entry = temporary.stat()
    state = folder.state()
    assert state[:5] == (entry.st_dev, entry.st_ino, entry.st_uid, entry.st_gid, entry.st_mode)
    assert isinstance(state, Folder)
    assert state.free > 0


def test_a_look_serves_for_the_next_scan(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment only; the look after a scan is always a new one."""
    looks: list[Folder] = []
    real = clamd_room.TemporaryFolder.state

    def state(self: clamd_room.TemporaryFolder) -> Folder:
        looks.append(real(self))
        return looks[-1]

    monkeypatch.setattr(clamd_room.TemporaryFolder, "state", state)
    for fresh, expected in ((NEVER, 3), (0.0, 6)):
        looks.clear()
        monkeypatch.setattr(clamd_room, "_FRESH", fresh)
        for _ in range(3):
            assert looked(room) == ""
        assert len(looks) == expected
