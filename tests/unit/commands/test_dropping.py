"""Rights: root becomes the owner of the quarantine for good, and anybody else than root and the owner is refused."""

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from miltscan.commands import dropping
from miltscan.config.load import parse_settings

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
OWNER, OTHER = 65534, 65533
"""Users without rights; Debian names the first one nobody."""
PROGRAM = """
import json, os, sys
from pathlib import Path
from miltscan.commands.dropping import acting_user, become_owner, run_as_owner
from miltscan.config.load import load_settings
from miltscan.errors import MiltscanError
settings = load_settings(Path(sys.argv[1]))
os.setuid(int(sys.argv[2]))
name = acting_user()
try:
    become_owner(settings)
except MiltscanError as error:
    print(json.dumps(str(error)))
else:
    regained = True
    try:
        os.setuid(0)
    except PermissionError:
        regained = False
    Path(settings.quarantine.directory, "made").write_text("")
    print(json.dumps([name, os.getresuid(), os.getresgid(), os.getgroups(), os.environ["HOME"], regained]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user can reach (unlike those of pytest), with a configuration of a quarantine and a spool."""
    folder = Path(mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    for name in ("quarantine", "spool"):
        (folder / name).mkdir()
        os.chown(folder / name, OWNER, OWNER)
    (folder / "f.toml").write_text(
        f'quarantine.directory = "{folder}/quarantine"\nspool.directory = "{folder}/spool"\n'
    )
    yield folder
    shutil.rmtree(folder)


def outcome(folder: Path, user: int = 0, **environment: str) -> list[object] | str:
    """What the program above reports as `user`: who it is afterwards, or why it refuses."""
    command = [sys.executable, "-c", PROGRAM, str(folder / "f.toml"), str(user)]
    given = {"PATH": os.environ["PATH"], "HOME": "/root", **environment}
    done = subprocess.run(command, env=given, check=True, stdout=subprocess.PIPE)
    value: list[object] | str = json.loads(done.stdout)
    return value


@ROOT_ONLY
def test_root_becomes_the_owner_for_good(folder: Path) -> None:
    """All three user IDs and group IDs and the groups are the owner's, and files belong to it and to nobody else."""
    account = pwd.getpwuid(OWNER)
    assert outcome(folder) == ["root", [OWNER] * 3, [OWNER] * 3, [OWNER], account.pw_dir, False]
    made = (folder / "quarantine" / "made").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (OWNER, OWNER, 0o600)


@ROOT_ONLY
def test_an_owner_without_an_account_has_one_group(folder: Path) -> None:
    """As in a container, whose users have numbers only."""
    os.chown(folder / "quarantine", OTHER, OTHER)
    assert outcome(folder)[1:4] == [[OTHER] * 3, [OTHER] * 3, [OTHER]]


@ROOT_ONLY
def test_the_caller_of_sudo_is_named(folder: Path) -> None:
    """Only root may say so: another user could name anybody."""
    assert outcome(folder, SUDO_USER="an\x1bna")[0] == "an\\x1bna"
    assert outcome(folder, OWNER, SUDO_USER="anna")[0] == pwd.getpwuid(OWNER).pw_name


@ROOT_ONLY
def test_the_owner_stays_what_it_is(folder: Path) -> None:
    """The service's user may run commands, too."""
    assert outcome(folder, OWNER)[1] == [OWNER] * 3


@ROOT_ONLY
@pytest.mark.parametrize("closed", [False, True])
def test_another_user_is_refused(folder: Path, *, closed: bool) -> None:
    """In one line that says what to do, also where the user cannot even see the folder."""
    if closed:
        (folder / "quarantine").rename(folder / "spool" / "quarantine")
        (folder / "f.toml").write_text(f'quarantine.directory = "{folder}/spool/quarantine"\n')
        (folder / "spool").chmod(0o700)
    name = "" if closed else f" {pwd.getpwuid(OWNER).pw_name}"
    place = folder / ("spool/quarantine" if closed else "quarantine")
    assert outcome(folder, OTHER) == (
        f"{place}: only root and its owner{name} may use it; run the command as root, for example with sudo"
    )


@ROOT_ONLY
def test_a_folder_of_root_is_refused_where_the_service_is_another_user(folder: Path) -> None:
    """Files that root made there could not be used by the service."""
    os.chown(folder / "quarantine", 0, 0)
    name = pwd.getpwuid(OWNER).pw_name
    place = folder / "quarantine"
    assert outcome(folder) == (f"{place}: belongs to root, but miltscan runs as {name}; run: chown -R {name} {place}")


@ROOT_ONLY
def test_without_a_folder_root_becomes_the_owner_of_the_spool(folder: Path) -> None:
    """Whatever the command makes belongs to the service."""
    (folder / "quarantine").rmdir()
    (folder / "spool" / "quarantine").mkdir()
    text = f'quarantine.directory = "{folder}/absent/quarantine"\nspool.directory = "{folder}/spool"\n'
    (folder / "f.toml").write_text(text)
    program = PROGRAM.replace('Path(settings.quarantine.directory, "made").write_text("")', "")
    command = [sys.executable, "-c", program, str(folder / "f.toml"), "0"]
    assert json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)[1] == [OWNER] * 3


def test_work_as_the_present_user_needs_no_process(tmp_path: Path) -> None:
    """Where there is nothing to give up."""
    (tmp_path / "q").mkdir()
    settings = parse_settings(f'quarantine.directory = "{tmp_path}/q"\nspool.directory = "{tmp_path}"\n'.encode(), "f")
    seen: list[int] = []
    dropping.run_as_owner(settings, lambda: seen.append(os.getpid()))
    assert seen == [os.getpid()]


WORK = """
import os, sys
from pathlib import Path
import typer
from miltscan.commands.dropping import run_as_owner
from miltscan.config.load import load_settings
from miltscan.errors import StartError
def work():
    if sys.argv[2] == "bug":
        1 / 0
    if sys.argv[2] == "error":
        raise StartError("no such entry")
    assert os.getresuid() == (65534,) * 3
    print("done", flush=True)
try:
    run_as_owner(load_settings(Path(sys.argv[1])), work)
except typer.Exit as end:
    sys.exit(10 + end.exit_code)
print(os.getresuid())
"""


@ROOT_ONLY
@pytest.mark.parametrize(
    ("kind", "status", "out", "error"),
    [
        ("done", 0, "done\n(0, 0, 0)\n", ""),
        ("error", 11, "", "no such entry\n"),
        ("bug", 11, "", "ZeroDivisionError: division by zero\n"),
    ],
)
def test_work_as_the_owner_leaves_this_process_its_rights(
    folder: Path, kind: str, status: int, out: str, error: str
) -> None:
    """It can write a file of its user afterwards; what goes wrong in the work ends it with the same status."""
    command = [sys.executable, "-c", WORK, str(folder / "f.toml"), kind]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr[-len(error) :] if error else done.stderr) == (status, out, error)
