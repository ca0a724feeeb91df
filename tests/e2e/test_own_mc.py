"""The sandwich from Debian's own sendmail.mc: two running sendmails, and what becomes of its settings."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import cf, client, ports, programs
from tests.harness.client import new_message_id, text_message
from tests.harness.sandwich import Sandwich, private_folder

CF_DIR = programs.data("/usr/share/sendmail/cf")
SENDMAIL = programs.CHECKOUT / "sendmail"
LOCAL = "LOCAL_DOMAIN(`example.test')dnl\n"


def debians_mc(folder: Path) -> str:
    """Debian's sendmail.mc; what it includes from /etc/mail is empty there, and here, too."""
    text = (CF_DIR / "debian" / "sendmail.mc").read_text()
    (folder / "m4").mkdir()
    for name in ("dialup", "provider"):
        (folder / "m4" / f"{name}.m4").touch()
    text = text.replace("/usr/share/sendmail/cf", str(CF_DIR))
    return re.sub(r"@sysconfdir@/mail/m4|/etc/mail/m4", str(folder / "m4"), text)


@pytest.fixture(scope="module")
def sandwich() -> Iterator[Sandwich]:
    """A sandwich from Debian's file, with other ports and what the harness needs."""
    with private_folder() as folder:
        submission = ports.choose().number
        mc = folder / "sendmail.mc"
        site = {"MC": str(mc)}
        for side in ("INCOMING", "DELIVERY"):
            more = folder / f"{side}.more.m4"
            more.write_text(f"include(`{folder}/{side.lower()}.site.m4')dnl\n{LOCAL}")
            site[f"SITE_{side}"] = str(more)
        sandwich = Sandwich(folder, site=site)
        text = debians_mc(folder).replace("Port=smtp", f"Port={sandwich.incoming.port}")
        mc.write_text(text.replace("Port=submission", f"Port={submission}"))
        with sandwich:
            yield sandwich


def test_mail_passes_both(sandwich: Sandwich) -> None:
    """Debian's file gives two sendmails that hand over and deliver."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id)).code == 250
    sandwich.mailbox.wait_for(message_id)
    assert sandwich.wait_for_trace(message_id).delivery


def test_its_listeners_stay(sandwich: Sandwich) -> None:
    """Port 587 is still there, and requires AUTH as before."""
    names = re.findall(r"Name=([^,]+)", "".join(cf.options(sandwich.incoming.configuration, "DaemonPortOptions")))
    assert names == ["MTA-v4", "MSP-v4"]
    (port,) = re.findall(r"Name=MSP-v4, Port=(\d+)", sandwich.incoming.configuration.read_text())
    assert client.send(int(port), text_message("<x@y>")).code == 530


def test_they_share_nothing(sandwich: Sandwich) -> None:
    """Queue, pid file and control socket of the file belong to incoming alone."""
    for option in ("QueueDirectory", "PidFile", "ControlSocketName"):
        both = [cf.options(side.configuration, option) for side in (sandwich.incoming, sandwich.delivery)]
        assert both[0] != both[1]


def test_neither_complains(sandwich: Sandwich) -> None:
    """No line of the files makes sendmail warn."""
    assert [side.running.tail() for side in (sandwich.incoming, sandwich.delivery)] == ["", ""]


def make(folder: Path, mc: Path) -> "subprocess.CompletedProcess[str]":
    """The command of the README."""
    command = ["make", "--silent", "-C", str(SENDMAIL), f"OUT={folder}", f"CF_DIR={CF_DIR}", f"MC={mc}"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("first", ["", "include(`../m4/cf.m4')dnl\n"], ids=["cf.m4 by the caller", "in the source"])
def test_other_kinds_of_files(tmp_path: Path, first: str) -> None:
    """A file without a line for cf.m4, as on FreeBSD, is built, and so is one of sendmail's source."""
    mc = tmp_path / "host.mc"
    mc.write_text(f"{first}OSTYPE(`linux')dnl\ndnl MAILER(`uucp')\nMAILER(`local')dnl\nMAILER(`smtp')dnl\n")
    made = make(tmp_path, mc)
    assert (made.returncode, made.stderr) == (0, "")
    for side in ("incoming", "delivery"):
        assert len(cf.mailers(tmp_path / f"{side}.cf")) > 5
    assert cf.options(tmp_path / "delivery.cf", "QueueDirectory") == ["/var/spool/mqueuedelivery"]


def test_a_file_without_mailers_is_an_error(tmp_path: Path) -> None:
    """The build names a file that is not a sendmail.mc, and writes no .cf file."""
    mc = tmp_path / "submit.mc"
    mc.write_text("FEATURE(`msp')dnl\n")
    made = make(tmp_path, mc)
    assert made.returncode != 0
    assert f"MC: {mc} has no line with MAILER(...)" in made.stderr
    assert not list(tmp_path.glob("*.cf"))
