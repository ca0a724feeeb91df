"""What `check` finds about the quarantine: its folder, its disk, and the way out of it."""

import os
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.core.mounts import MountedPath
from miltscan.doctor import quarantine_check
from miltscan.doctor.quarantine_check import folder_findings, quarantine_findings
from miltscan.doctor.topics import NO_SPOOL, NOT_ROOT
from tests.fakes.delivery import fake_delivery
from tests.unit.doctor.support import bad, bad_subjects, only

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")


@pytest.fixture(autouse=True)
def safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run below /tmp, perhaps on a tmpfs and with little room: none of it counts, unless a test says so."""
    monkeypatch.setattr(quarantine_check, "folders_above", lambda _path: [])
    monkeypatch.setattr(quarantine_check, "mounted_path", lambda *_: MountedPath("1:1", "/", read_only=False))
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([1, 1, 2**40, 2**40, 2**40, 0, 0, 0, 0, 255]))


def settings(tmp_path: Path, more: str = "") -> Settings:
    """Settings whose quarantine is tmp_path/quarantine, and whose queues do not exist."""
    text = f"""
        [policy]
        on_infected = "quarantine"
        [quarantine]
        directory = "{tmp_path}/quarantine"
        [spool]
        directory = "{tmp_path}"
        [queues]
        incoming = "{tmp_path}/mqueue"
        delivery = ""
    """
    return parse_settings((text + more).encode(), "f")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as it should be."""
    made = tmp_path / "quarantine"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def ours(tmp_path: Path) -> Settings:
    """The settings of that folder."""
    return settings(tmp_path)


def test_a_good_folder(folder: Path, ours: Settings) -> None:
    """A private folder of miltscan's user on a disk of its own is ok."""
    assert bad(folder_findings(folder, ours)) == []


def test_nothing_is_checked_without_a_quarantine(tmp_path: Path) -> None:
    """Without an action that keeps a message, neither the folder nor the delivery sendmail matters."""
    assert [*quarantine_findings(parse_settings(b"", "f"))] == []
    assert [one.subject for one in quarantine_findings(settings(tmp_path))] == [
        "quarantine.directory",
        "delivery.server",
    ]


def test_a_missing_folder(tmp_path: Path, ours: Settings) -> None:
    """The first message makes it, where miltscan's user may; else each message would be tempfailed."""
    assert bad(folder_findings(tmp_path / "absent", ours)) == []
    assert only(
        folder_findings(Path("/proc/absent"), ours), *(("error", "does not exist") if os.geteuid() else ("", ""))
    )


@ROOT_ONLY
def test_a_missing_folder_that_miltscan_may_not_make(tmp_path: Path) -> None:
    """The remedy makes it for miltscan's user, who is the owner of the spool folder."""
    spool = tmp_path / "spool"
    spool.mkdir()
    os.chown(spool, 65534, -1)
    found = [*folder_findings(tmp_path / "a" / "b", settings(tmp_path, "").model_copy(update=spooled(spool)))]
    assert only(found, "error", "miltscan may not make it in")
    assert found[0].remedy == f"run: install -d -o nobody -m 0700 {tmp_path}/a/b"


def spooled(spool: Path) -> dict[str, object]:
    """The table `spool` with this folder."""
    return {"spool": parse_settings(f"[spool]\ndirectory = '{spool}'".encode(), "f").spool}


@ROOT_ONLY
def test_a_folder_of_another_user(folder: Path, ours: Settings) -> None:
    """Miltscan cannot store in a folder that belongs to another user."""
    os.chown(folder, 65534, -1)
    assert only(folder_findings(folder, ours), "error", "miltscan runs as root: what is to be kept is tempfailed")
    (found,) = [one for one in folder_findings(folder, ours) if one.level is Level.ERROR]
    assert found.causes == (NO_SPOOL, NOT_ROOT)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_is_open_to_others(folder: Path, ours: Settings, mode: int) -> None:
    """Quarantined mail is for nobody else on the host."""
    folder.chmod(mode)
    assert only(folder_findings(folder, ours), "warning", f"has mode {mode:04o}: other users")


@ROOT_ONLY
def test_a_folder_without_rights(folder: Path, tmp_path: Path) -> None:
    """Miltscan's user itself may lack the right to write."""
    spool = tmp_path / "spool"
    spool.mkdir()
    folder.chmod(0o500)
    for one in (spool, folder):
        os.chown(one, 65534, -1)
    known = settings(tmp_path).model_copy(update=spooled(spool))
    assert only(folder_findings(folder, known), "error", "has mode 0500: nobody cannot store a message")


def test_a_file_in_its_place(folder: Path, ours: Settings) -> None:
    """A file is no place for messages."""
    folder.rmdir()
    folder.touch()
    assert only(folder_findings(folder, ours), "error", "is not a folder")


def test_a_world_writable_place(folder: Path, ours: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write above the folder can put another one in its place; /tmp is cleaned, too."""
    folder.parent.chmod(0o1777)
    above = [(folder.parent, folder.parent.stat())]
    monkeypatch.setattr(quarantine_check, "folders_above", lambda _path: above)
    assert only(folder_findings(folder, ours), "warning", f"is below {folder.parent}, to which every user")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (MountedPath("1:1", "/", read_only=False, kind="tmpfs"), "is on a tmpfs: a restart of the host deletes all"),
        (MountedPath("1:1", "/", read_only=True, kind="ext4"), "is on a read-only file system"),
    ],
)
def test_a_disk_that_keeps_nothing(
    folder: Path, ours: Settings, monkeypatch: pytest.MonkeyPatch, place: MountedPath, text: str
) -> None:
    """Memory and a read-only disk are errors."""
    monkeypatch.setattr(quarantine_check, "mounted_path", lambda *_: place)
    assert only(folder_findings(folder, ours), "error", text)


def test_the_disk_of_a_queue(folder: Path, tmp_path: Path) -> None:
    """On the file system of a queue a full quarantine stops all mail, unless its areas have a largest size."""
    (tmp_path / "mqueue").mkdir()
    assert only(folder_findings(folder, settings(tmp_path)), "warning", "is on the file system of incoming's queue")
    bounded = settings(tmp_path, "[quarantine.area.default]\nmax_size = '1GiB'\n")
    assert bad(folder_findings(folder, bounded)) == []
    other = "[quarantine.area.default]\nmax_size = '1GiB'\n[quarantine.area.viruses]\n"
    (found,) = [one for one in folder_findings(folder, settings(tmp_path, other)) if one.level is not Level.OK]
    assert found.remedy.startswith("set max_size in [quarantine.area.viruses]")


def test_room(folder: Path, ours: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less room than a message needs is an error, as for the spool folder."""
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([1, 1, 9, 9, 9, 0, 0, 0, 0, 255]))
    assert bad_subjects(folder_findings(folder, ours)) == [("error", "quarantine.directory")]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the delivery sendmail is looked at."""
    monkeypatch.setattr(quarantine_check, "folder_findings", lambda *_: iter(()))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(
    ("greeting", "level", "words", "remedy"),
    [
        ("220 ready", "", "", ""),
        ("554 5.7.1 no", "error", "accepts no release from quarantine: 554 5.7.1 no", "SITE_SCANNERS"),
        ("421 4.3.2 busy", "warning", "421 4.3.2 busy", "log of the delivery sendmail"),
        ("hello", "error", "accepts no release", "start the delivery sendmail"),
    ],
)
def test_the_delivery_sendmail(tmp_path: Path, greeting: str, level: str, words: str, remedy: str) -> None:
    """Check offers a message without recipients: what the server says to it decides, and no message is sent."""
    with fake_delivery() as fake:
        fake.greeting = greeting
        found = [*quarantine_findings(settings(tmp_path, f"[delivery]\nserver = 'inet:{fake.port}@127.0.0.1'\n"))]
        assert fake.messages == []
    assert only(found, level, words)
    assert remedy in found[0].remedy


@pytest.mark.usefixtures("quiet")
def test_releases_without_receipts(tmp_path: Path) -> None:
    """A delivery side that scans needs receipts, or it may quarantine what was released."""
    with fake_delivery() as fake:
        text = f"[delivery]\nserver = 'inet:{fake.port}@127.0.0.1'\n[verify]\nsocket = 'unix:/v'\n"
        assert only(quarantine_findings(settings(tmp_path, text)), "warning", "a release has no receipt")
        assert bad(quarantine_findings(settings(tmp_path, f"{text}[keys]\nfile = '/k'\n"))) == []


@pytest.mark.usefixtures("quiet")
def test_no_delivery_sendmail(tmp_path: Path) -> None:
    """A port without a listener is an error that names the setting."""
    found = [*quarantine_findings(settings(tmp_path, "[delivery]\nserver = 'inet:1@127.0.0.1'\n"))]
    assert only(found, "error", "inet:1@127.0.0.1 accepts no release from quarantine: no reply from port 1")
