"""Root runs every command on the quarantine, and the service can go on using it: all files stay the service's."""

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import pytest

from miltscan.core.verdict import Outcome
from miltscan.quarantine.entry import Event, State
from miltscan.quarantine.files import Files
from tests.fakes.delivery import fake_delivery
from tests.fakes.entries import MESSAGE, NOW, put
from tests.unit.test_output import Program

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
SERVICE = 65534
"""A user without rights."""


def as_user(user: int, work: Callable[[], object]) -> int:
    """Run `work` in a process of `user`; returns its exit status, 1 after an exception."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach (unlike those of pytest), with a spool and a quarantine of the service."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    for name in ("quarantine", "spool"):
        (folder / name).mkdir(mode=0o700)
        os.chown(folder / name, SERVICE, SERVICE)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Runs commands as root."""
    program = Program(tmp_path)
    yield program
    program.end()


def store(folder: Path, time: float = NOW) -> str:
    """The service stores a message; returns the ID."""
    files = Files(folder / "quarantine")
    before = set(everything(folder))
    assert as_user(SERVICE, lambda: put(files, time=time, outcome=Outcome.CLEAN, signature=None)) == 0
    (new,) = {path for path in everything(folder) if path.suffix == ".entry"} - before
    return new.stem


def everything(folder: Path) -> list[Path]:
    """All that is in the quarantine."""
    return [*(folder / "quarantine").rglob("*")]


def test_root_runs_every_command(folder: Path, program: Program) -> None:
    """What it leaves belongs to the service and to nobody else, which puts, records and reads as before."""
    with fake_delivery() as server:
        folders = f'quarantine.directory = "{folder}/quarantine"\nspool.directory = "{folder}/spool"\n'
        engine = f'clamd.servers = ["unix:{folder}/absent"]\n'
        (folder / "f.toml").write_text(f'{folders}{engine}delivery.server = "inet:{server.port}@127.0.0.1"\n')
        first, _ = store(folder), store(folder, time=NOW + 1)
        for command, expected in {
            "list": 0,
            "search hello": 0,
            f"show {first[:-1]}": 0,
            f"release {first}": 0,
            f"download {first} --output {folder}/a.zip": 0,
            "rescan": 1,  # no engine is up
            "check": 0,
            "stats": 0,
            f"delete {first} --yes": 0,
            "expire": 0,
        }.items():
            status, out, error = program.run(["quarantine", *command.split(), "--config", f"{folder}/f.toml"])
            assert (command, status) == (command, expected), out + error
            change = partial(Files(folder / "quarantine").record, store(folder), Event(NOW, "keeper", State.CLEARED))
            assert as_user(SERVICE, change) == 0
    for path in everything(folder):
        status_of = path.stat()
        assert (path, status_of.st_uid, status_of.st_gid) == (path, SERVICE, SERVICE)
        assert stat.S_IMODE(status_of.st_mode) & 0o077 == 0, path
    archive = folder / "a.zip"
    assert (archive.stat().st_uid, zipfile.ZipFile(archive).read(f"{first}.eml")) == (0, MESSAGE)


def test_a_download_that_fails_leaves_no_file_of_root(folder: Path, program: Program) -> None:
    """The archive is made before its file is."""
    (folder / "f.toml").write_text(
        f'quarantine.directory = "{folder}/quarantine"\nspool.directory = "{folder}/spool"\n'
    )
    store(folder)
    command = ["quarantine", "download", "zzz", "--output", f"{folder}/a.zip", "--config", f"{folder}/f.toml"]
    status, out, error = program.run(command)
    assert (status, out, len(error.splitlines())) == (1, "", 1)
    assert not (folder / "a.zip").exists()
