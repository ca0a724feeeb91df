"""The configuration of a clamd: its file, the effective options, and where they are below miltscan's settings."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from miltscan.config.settings import EngineTable, Settings
from miltscan.core.address import UnixAddress, parse_address
from miltscan.doctor import clamd_conf

GOOD = """
StreamMaxLength 100M
MaxFileSize 100M
MaxScanSize 400M
MaxScanTime 50000
MaxThreads 20
AlertExceedsMax yes
AlertEncrypted true
"""
SERVE = """
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind("ctl")
listener.listen()
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("clamd\0-c\0/etc/a.conf\0", "/etc/a.conf"),
        ("/usr/sbin/clamd\0--foreground=true\0--config-file=/etc/a.conf\0", "/etc/a.conf"),
        ("/usr/sbin/clamd\0--config-file\0a.conf\0", "a.conf"),
        ("/usr/sbin/clamd\0--foreground=true\0", ""),
        ("/sbin/init\0-c\0/etc/a.conf\0", ""),
        ("", ""),
    ],
)
def test_the_command_line_names_the_file(line: str, file: str) -> None:
    """Only the command line of a clamd counts: the peer of a socket that systemd opened is systemd."""
    assert clamd_conf.named_file(line.split("\0")) == file


def test_the_peer_of_the_socket_names_its_file(tmp_path: Path) -> None:
    """The command line of the process at the other end names the file, relative to its working folder."""
    (tmp_path / "serve.py").write_text(SERVE)
    with subprocess.Popen(
        ["clamd", "serve.py", "-c", "our.conf"],  # by that name, but it is Python
        executable=sys.executable,
        cwd=tmp_path,
        env={"PYTHONHOME": sys.base_prefix},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = clamd_conf.file_of(UnixAddress(str(tmp_path / "ctl")))
        process.communicate()
    assert found == tmp_path / "our.conf"


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
def test_without_a_peer_it_is_the_default_file_if_that_names_the_socket(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, serves: bool
) -> None:
    """A TCP socket has no peer to ask. Debian's file names /var/run, a link to /run."""
    (tmp_path / "link").symlink_to(tmp_path)
    file = tmp_path / "clamd.conf"
    file.write_text(f"LocalSocket {tmp_path}/link/ctl\nTCPSocket 3310\n")
    monkeypatch.setattr(clamd_conf, "DEFAULT_FILE", file)
    assert clamd_conf.file_of(parse_address(server.format(folder=tmp_path))) == (file if serves else None)


def test_a_peer_that_is_not_clamd_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer of a socket that systemd opened is systemd, here this test; the default file is missing, too."""
    monkeypatch.setattr(clamd_conf, "DEFAULT_FILE", tmp_path / "absent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ctl"))
        listener.listen()
        assert clamd_conf.file_of(UnixAddress(str(tmp_path / "ctl"))) is None


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
    found = clamd_conf.effective_options(written(tmp_path, text))
    names = ("MaxQueue", "MaxThreads", "LogFile", "MaxFileSize")
    assert [found[name] for name in names] == ["100", "7", "/a b", "1M"]


def test_clamconf_knows_the_defaults_of_the_installed_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prints counts before the file, except for a line "disabled"; another folder holds only this file."""
    program = tmp_path / "clamconf"
    program.write_text(
        "#!/bin/sh\ncat ${1#--config-dir=}/clamd.conf | sed -n 's/^MaxThreads \\(.*\\)/MaxThreads = \"\\1\"/p'\n"
        "echo 'MaxScanTime disabled'; echo 'MaxScanSize = \"104857600\"'; echo 'TCPAddr = \"::1\", \"127.0.0.1\"'\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda _name: str(program))
    found = clamd_conf.effective_options(written(tmp_path, "MaxThreads 7\nMaxScanTime 0\n"))
    names = ("MaxThreads", "MaxScanTime", "MaxScanSize", "TCPAddr")
    assert [found[name] for name in names] == ["7", "0", "104857600", "::1"]


def test_a_clamconf_that_fails_or_hangs_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file itself counts then, as without clamconf."""
    monkeypatch.setattr(clamd_conf, "_CLAMCONF_TIMEOUT", 0.05)
    program = tmp_path / "clamconf"
    program.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    program.chmod(0o755)
    for named in (str(program), str(tmp_path / "absent")):
        monkeypatch.setattr(shutil, "which", lambda _name, named=named: named)
        assert clamd_conf.effective_options(written(tmp_path, "MaxThreads 7\n"))["MaxThreads"] == "7"


@pytest.mark.skipif(shutil.which("clamconf") is None, reason="clamconf is not installed")
def test_the_real_clamconf_reads_the_file(tmp_path: Path) -> None:
    """It prints sizes in bytes, and knows options of which this module has no default; a faulty file has none."""
    found = clamd_conf.effective_options(written(tmp_path, "MaxFileSize 2M\nAlertExceedsMax true\nMaxScanTime 0\n"))
    names = ("MaxFileSize", "AlertExceedsMax", "MaxScanTime", "MaxRecursion")
    assert [found[name] for name in names] == ["2097152", "yes", "0", "17"]
    assert clamd_conf.effective_options(written(tmp_path, "Junk 1\nMaxFileSize 2M\n"))["MaxFileSize"] == "2M"


def mismatches(folder: Path, text: str, engine: EngineTable | None = None) -> list[clamd_conf.Mismatch]:
    """The mismatches between a configuration and miltscan's default limits."""
    options = clamd_conf.effective_options(written(folder, text))
    return [*clamd_conf.mismatches(options, engine or Settings().engines[0], Settings().limits)]


def test_a_matching_configuration_has_no_mismatch(tmp_path: Path) -> None:
    """A clamd that is set up for miltscan's defaults has none."""
    assert mismatches(tmp_path, GOOD) == []


@pytest.mark.usefixtures("no_clamconf")
@pytest.mark.parametrize(
    ("line", "key", "wanted"),
    [
        ("StreamMaxLength 25M", "StreamMaxLength", "StreamMaxLength 100M"),
        ("MaxFileSize 26214400", "MaxFileSize", "MaxFileSize 100M"),
        ("MaxScanSize 50000K", "MaxScanSize", "MaxScanSize 100M"),
        ("MaxScanTime 120000", "MaxScanTime", "MaxScanTime 54000"),
        ("MaxScanTime 0", "MaxScanTime", "MaxScanTime 54000"),
        ("AlertExceedsMax no", "AlertExceedsMax", "AlertExceedsMax yes"),
        ("AlertEncrypted false", "AlertEncrypted", "AlertEncrypted yes"),
        ("MaxThreads 9", "MaxThreads", "MaxThreads 10"),
        ("MaxQueue 79", "MaxQueue", "MaxQueue 80"),
    ],
)
def test_each_mismatch_has_the_line_that_corrects_it(line: str, key: str, wanted: str, tmp_path: Path) -> None:
    """One option below the settings is one mismatch, and with its line there is none."""
    (found,) = mismatches(tmp_path, f"{line}\n{GOOD}")
    assert found.silent == key.startswith("Alert")
    assert (found.key, found.line) == (key, wanted)
    assert mismatches(tmp_path, f"{found.line}\n{GOOD}") == []


def test_limits_of_the_engine_count_if_they_are_lower(tmp_path: Path) -> None:
    """An engine that skips large messages, or has a shorter timeout, needs less."""
    skipping = Settings().engines[0].model_copy(update={"skip_above": 25 * 2**20})
    assert [one.key for one in mismatches(tmp_path, f"MaxFileSize 25M\n{GOOD}", skipping)] == []
    hasty = Settings().engines[0].model_copy(update={"timeout": 40.0})
    (found,) = mismatches(tmp_path, GOOD, hasty)
    assert (found.key, found.line) == ("MaxScanTime", "MaxScanTime 36000")


def test_zero_is_no_limit(tmp_path: Path) -> None:
    """By clamd.conf(5) a size of 0 disables the limit."""
    for line in ("MaxFileSize 0", "StreamMaxLength 0", "MaxScanSize 0"):
        assert mismatches(tmp_path, f"{line}\n{GOOD}") == [], line


def test_the_clamd_configuration_in_deploy_has_no_mismatch(tmp_path: Path) -> None:
    """deploy/clamav/clamd.conf is made for the defaults."""
    assert mismatches(tmp_path, (Path(__file__).parents[3] / "deploy" / "clamav" / "clamd.conf").read_text()) == []
