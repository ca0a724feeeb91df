"""The clamd of this host: its process, its file, and the effective options."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miltscan.core.address import UnixAddress, parse_address
from miltscan.engines.clamd import local

SERVE = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("ctl")
listener.listen()
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def process(folder: Path, text: str, *arguments: str, name: str = "clamd") -> Iterator[int]:
    """The number of a process of this name with a configuration file and a socket, both in `folder`, where it runs."""
    (folder / "our.conf").write_text(text)
    (folder / "serve.py").write_text(SERVE)
    program = folder / name
    program.symlink_to(sys.executable)
    with subprocess.Popen(
        [program, "serve.py", *arguments],
        cwd=folder,
        env={"PYTHONHOME": sys.base_prefix},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        yield started.pid
        started.communicate()


@pytest.mark.parametrize("arguments", [("-c", "our.conf"), ("--config-file=our.conf",), ("--config-file", "our.conf")])
@pytest.mark.parametrize("server", ["unix:{folder}/ctl", "inet:3311@127.0.0.1", "inet:3311@localhost"])
def test_the_process_is_the_one_whose_file_names_the_socket(
    arguments: tuple[str, ...], server: str, tmp_path: Path
) -> None:
    """Its command line names the file, relative to its working folder, and the file names the socket."""
    with process(tmp_path, f"LocalSocket {tmp_path}/ctl\nTCPSocket 3311\n", *arguments) as pid:
        found = local.find_clamd(parse_address(server.format(folder=tmp_path)))
    assert found == (pid, tmp_path / "our.conf")


def test_the_one_that_started_last_serves_the_socket(tmp_path: Path) -> None:
    """While one clamd takes over from another, both have the same file."""
    text = f"LocalSocket {tmp_path}/a/ctl\n"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with process(tmp_path / "a", text, "-c", "our.conf"), process(tmp_path / "b", text, "-c", "our.conf") as pid:
        assert local.find_clamd(UnixAddress(f"{tmp_path}/a/ctl")).pid == pid


@pytest.mark.parametrize(
    ("text", "name", "server", "why"),
    [
        ("", "clamd", "inet:3310@clamd.example.test", "it is on another host"),
        ("LocalSocket {folder}/other\n", "clamd", "unix:{folder}/ctl", "no process of clamd with this socket"),
        ("LocalSocket {folder}/ctl\n", "systemd", "unix:{folder}/ctl", "no process of clamd with this socket"),
        ("TCPSocket 3311\n", "clamd", "inet:3312@127.0.0.1", "no process of clamd with this socket"),
    ],
)
def test_other_processes_do_not_count_as_it(text: str, name: str, server: str, why: str, tmp_path: Path) -> None:
    """Another socket, another program and another host each have their own reason."""
    with (
        process(tmp_path, text.format(folder=tmp_path), "-c", "our.conf", name=name),
        pytest.raises(local.UnseenError, match=why),
    ):
        local.find_clamd(parse_address(server.format(folder=tmp_path)))


def test_a_clamd_with_another_file_at_that_path_is_not_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clamd in a container names a file of the container."""
    monkeypatch.setattr(local, "same_place", lambda _table, _path: False)
    with (
        process(tmp_path, f"LocalSocket {tmp_path}/ctl\n", "-c", "our.conf"),
        pytest.raises(local.UnseenError, match="it has mounts of its own"),
    ):
        local.find_clamd(UnixAddress(f"{tmp_path}/ctl"))


@pytest.mark.parametrize(
    ("server", "serves"),
    [
        ("unix:{folder}/link/ctl", True),
        ("unix:{folder}/ctl", True),
        ("unix:{folder}/other", False),
        ("inet:3310@127.0.0.1", True),
        ("inet:3310@localhost", True),
        ("inet:3311@127.0.0.1", False),
        ("inet:3310@clamd.example.test", False),
    ],
)
def test_without_a_process_it_is_the_default_file_if_that_names_the_socket(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, serves: bool
) -> None:
    """The process may be hidden. Debian's file names /var/run, a link to /run."""
    (tmp_path / "link").symlink_to(tmp_path)
    file = tmp_path / "clamd.conf"
    file.write_text(f"LocalSocket {tmp_path}/link/ctl\nTCPSocket 3310\n")
    monkeypatch.setattr(local, "DEFAULT_FILE", file)
    assert local.file_of(parse_address(server.format(folder=tmp_path))) == (file if serves else None)


@pytest.fixture
def no_clamconf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without clamconf."""
    monkeypatch.setattr(shutil, "which", lambda _name: None)


def written(folder: Path, text: str) -> Path:
    """A configuration file with another name than the usual one."""
    file = folder / "scan.conf"
    file.write_text(text)
    return file


@pytest.mark.usefixtures("no_clamconf")
def test_without_clamconf_the_file_and_clamds_defaults_count(tmp_path: Path) -> None:
    """The syntax is clamd's own: case matters, the first of two values counts, a value may be quoted."""
    text = '# MaxQueue 1\n  MaxThreads\t7 \nmaxqueue 3\nLogFile "/a b"\nMaxFileSize 1M\nMaxFileSize 2M\nJunk\n'
    found = local.effective_options(written(tmp_path, text))
    names = ("MaxQueue", "MaxThreads", "LogFile", "MaxFileSize")
    assert [found[name] for name in names] == ["100", "7", "/a b", "1M"]


def test_clamconf_knows_the_defaults_of_the_installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output of clamconf has precedence over the file, except for a line "disabled"."""
    program = tmp_path / "clamconf"
    program.write_text(
        "#!/bin/sh\ncat ${1#--config-dir=}/clamd.conf | sed -n 's/^MaxThreads \\(.*\\)/MaxThreads = \"\\1\"/p'\n"
        "echo 'MaxScanTime disabled'; echo 'MaxScanSize = \"104857600\"'; echo 'TCPAddr = \"::1\", \"127.0.0.1\"'\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(program))
    found = local.effective_options(written(tmp_path, "MaxThreads 7\nMaxScanTime 0\n"))
    names = ("MaxThreads", "MaxScanTime", "MaxScanSize", "TCPAddr")
    assert [found[name] for name in names] == ["7", "0", "104857600", "::1"]


def test_a_clamconf_that_fails_or_hangs_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the file itself counts, as without clamconf."""
    monkeypatch.setattr(local, "_CLAMCONF_TIMEOUT", 0.05)
    program = tmp_path / "clamconf"
    program.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    program.chmod(0o755)
    for named in (str(program), str(tmp_path / "absent")):
        monkeypatch.setattr(shutil, "which", lambda _name, named=named: named)
        assert local.effective_options(written(tmp_path, "MaxThreads 7\n"))["MaxThreads"] == "7"


@pytest.mark.skipif(shutil.which("clamconf") is None, reason="clamconf is not installed")
def test_the_real_clamconf_reads_the_file(tmp_path: Path) -> None:
    """It prints sizes in bytes, and knows options of which this module has no default; a faulty file has none."""
    found = local.effective_options(written(tmp_path, "MaxFileSize 2M\nAlertExceedsMax true\nMaxScanTime 0\n"))
    names = ("MaxFileSize", "AlertExceedsMax", "MaxScanTime", "MaxRecursion")
    assert [found[name] for name in names] == ["2097152", "yes", "0", "17"]
    assert local.effective_options(written(tmp_path, "Junk 1\nMaxFileSize 2M\n"))["MaxFileSize"] == "2M"
