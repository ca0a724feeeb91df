"""A clamd's configuration: which file it is, what it says, and where it does less than we promise."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from miltscan.config.settings import Settings
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
        ("/usr/sbin/clamd\0--foreground=true\0", None),
        ("/sbin/init\0-c\0/etc/a.conf\0", None),
        ("", None),
    ],
)
def test_the_command_line_names_the_file(line: str, file: str | None) -> None:
    """Only a clamd's command line counts: a socket of systemd has systemd at its other end."""
    assert (Path(file) if file else None) == clamd_conf.named_file(line.split("\0"))


def test_the_peer_of_the_socket_tells_its_file(tmp_path: Path) -> None:
    """The process at the other end of a unix socket is found, and a relative path is taken from its folder."""
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
    """Nobody listens, or by TCP. Debian's file says /var/run, a link to /run."""
    (tmp_path / "link").symlink_to(tmp_path)
    file = tmp_path / "clamd.conf"
    file.write_text(f"LocalSocket {tmp_path}/link/ctl\nTCPSocket 3310\n")
    monkeypatch.setattr(clamd_conf, "DEFAULT_FILE", file)
    assert clamd_conf.file_of(parse_address(server.format(folder=tmp_path))) == (file if serves else None)


def test_a_peer_that_is_no_clamd_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a socket that systemd opened, systemd is the peer; here it is this test. There is no default file either."""
    monkeypatch.setattr(clamd_conf, "DEFAULT_FILE", tmp_path / "absent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "ctl"))
        listener.listen()
        assert clamd_conf.file_of(UnixAddress(str(tmp_path / "ctl"))) is None


def test_absent_keys_have_clamds_defaults() -> None:
    """Comments, blanks and quotes are understood; the case of a key does not matter."""
    read = clamd_conf.parse_clamd_conf(
        '# MaxQueue 1\n  maxthreads\t7 \nLogFile "/a b"\nMaxFileSize 1M\nMaxFileSize 2M\nJunk\n'
    )
    assert (read["maxqueue"], read["maxthreads"], read["logfile"], read["maxfilesize"]) == ("100", "7", "/a b", "2M")


def test_a_fitting_configuration_has_no_mismatch() -> None:
    """The defaults of miltscan and a clamd set up for them."""
    assert [*clamd_conf.mismatches(clamd_conf.parse_clamd_conf(GOOD), Settings())] == []


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
def test_each_mismatch_has_the_line_that_cures_it(line: str, key: str, wanted: str) -> None:
    """One setting too small gives one mismatch, and the wanted line none."""
    (found,) = clamd_conf.mismatches(clamd_conf.parse_clamd_conf(f"{GOOD}{line}\n"), Settings())
    assert found.silent == key.startswith("Alert")
    assert (found.key, found.wanted) == (key, wanted)
    assert [*clamd_conf.mismatches(clamd_conf.parse_clamd_conf(f"{GOOD}{found.wanted}\n"), Settings())] == []


@pytest.mark.parametrize("line", ["MaxFileSize 0", "StreamMaxLength 0", "MaxScanSize 0"])
def test_zero_is_no_limit(line: str) -> None:
    """clamd.conf(5): 0 disables a limit."""
    assert [*clamd_conf.mismatches(clamd_conf.parse_clamd_conf(f"{GOOD}{line}\n"), Settings())] == []


def test_the_clamd_settings_we_deploy_fit() -> None:
    """deploy/clamav/clamd.conf is made for the defaults."""
    deployed = (Path(__file__).parents[3] / "deploy" / "clamav" / "clamd.conf").read_text()
    assert [*clamd_conf.mismatches(clamd_conf.parse_clamd_conf(deployed), Settings())] == []
