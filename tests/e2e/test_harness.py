"""The harness itself: what the other end-to-end tests rely on without saying so."""

import base64
import io
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from email.message import EmailMessage
from pathlib import Path

import psutil
import pytest

from tests.fakes.eicar import EICAR
from tests.harness import hostname, ports
from tests.harness.clamav import Clamd
from tests.harness.ending import end_recorded, ended, users
from tests.harness.processes import PATIENCE, ProgramError, Programs, wait_until
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import Sandwich, private_folder


def scan(clamd: Clamd, content: bytes) -> str:
    """The reply of clamd to a stream, by TCP."""
    with socket.create_connection(("127.0.0.1", clamd.port), timeout=60) as connection:
        connection.sendall(b"zINSTREAM\0" + len(content).to_bytes(4, "big") + content + bytes(4))
        return connection.makefile("rb").read().rstrip(b"\0").decode()


def zipped(name: str, content: bytes) -> bytes:
    """A zip archive of one member."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return archive.getvalue()


def mail(attachment: bytes) -> EmailMessage:
    """A mail with one attachment in base64."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.test", "An attachment"
    message.set_content("See the attachment.\n")
    message.add_attachment(attachment, maintype="application", subtype="octet-stream", filename="file.bin")
    return message


def nested(message: EmailMessage) -> EmailMessage:
    """A mail that forwards another one as an attachment."""
    outer = mail(b"harmless")
    outer.add_attachment(message)
    return outer


EICAR_FORMS: dict[str, Callable[[], bytes]] = {
    "plain": lambda: EICAR,
    "base64 in a mail": lambda: mail(EICAR).as_bytes(),
    "zip in a mail": lambda: mail(zipped("eicar.com", EICAR)).as_bytes(),
    "zip in a nested mail": lambda: nested(mail(zipped("eicar.com", EICAR))).as_bytes(),
}


@pytest.mark.parametrize("form", EICAR_FORMS)
def test_clamd_finds_eicar(clamd: Clamd, form: str) -> None:
    """The database in use knows the EICAR test file, wrapped as mail wraps it."""
    assert scan(clamd, EICAR_FORMS[form]()).endswith(" FOUND")


def test_clamd_lets_clean_mail_pass(clamd: Clamd) -> None:
    """The test database does not match everything."""
    assert scan(clamd, mail(b"harmless").as_bytes()) == "stream: OK"


def test_clamd_can_be_stopped_paused_and_killed(clamd: Clamd) -> None:
    """After each way to disturb it, clamd comes back on the same socket."""
    clamd.pause()
    assert not clamd.answers()
    clamd.resume()
    wait_until(clamd.answers, PATIENCE, "clamd after SIGCONT")
    for end in (clamd.kill, clamd.stop):
        end()
        assert not clamd.answers()
        clamd.start()
        clamd.wait_ready()


def test_eicar_is_in_no_file() -> None:
    """The EICAR text is put together at run time, so that no scanner stops this repository."""
    harness = Path(__file__).parents[1] / "harness"
    texts = [path.read_bytes() for path in harness.glob("*.py")]
    assert not any(form in text for text in texts for form in (EICAR, EICAR.hex().encode(), base64.b64encode(EICAR)))


def test_everything_ends_with_the_sandwich() -> None:
    """After the context no process of a sandwich, daemon or child, is left, and no file."""
    with private_folder() as folder:
        with Sandwich(folder):
            assert users(folder)
        assert users(folder) == []
    assert not folder.exists()


KEEP = """
import pathlib, sys
from tests.harness.sandwich import Sandwich
with Sandwich(pathlib.Path(sys.argv[1])) as sandwich:
    sandwich.keep()
"""


def test_a_kept_sandwich_is_ended_from_elsewhere() -> None:
    """What keep() leaves running, end_recorded() ends, by its recorded pid and start time."""
    with private_folder() as folder:
        subprocess.run([sys.executable, "-c", KEEP, str(folder)], check=True, cwd=CHECKOUT)
        assert users(folder)
        assert sorted(end_recorded(folder)) == ["delivery", "incoming", "mailbox", "syslog"]
        wait_until(lambda: not users(folder), PATIENCE, "the end of all processes")


CUT = """
import pathlib, subprocess, sys
from tests.harness import guard
from tests.harness.sandwich import Sandwich
folder = pathlib.Path(sys.argv[1])
with subprocess.Popen(["true"], start_new_session=True) as ended:
    guard.watch_group(ended.pid)
with Sandwich(folder):
    subprocess.run(["setsid", "--fork", "tail", "-f", folder / "mail.log"], stdout=subprocess.DEVNULL)
    print("running", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    """SIGKILL to a test run ends its programs and what they started, a daemon that left its group included."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # for the guard's registry
    with private_folder() as folder:
        command = [sys.executable, "-c", CUT, str(folder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=CHECKOUT, stdin=pipe, stdout=pipe, env=environment) as run:
            assert run.stdout
            assert run.stdout.readline() == b"running\n"
            wait_until(lambda: {"sendmail", "tail"} <= names_of(users(folder)), PATIENCE, "both programs")
            run.kill()
        wait_until(lambda: not users(folder), PATIENCE, "the end of all processes")
        wait_until(lambda: not [*tmp_path.iterdir()], PATIENCE, "the end of the guard")


def names_of(processes: list[psutil.Process]) -> set[str]:
    """The names of those that have not ended meanwhile."""
    found = set()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found.add(process.name())
    return found


def test_a_program_that_ends_early_is_an_error_with_its_log(tmp_path: Path) -> None:
    """Waiting for a program that has ended raises an error at once, with the end of its log."""
    with Programs(tmp_path) as programs:
        program = programs.start("failing", ["sh", "-c", "echo no such thing; exit 3"])
        with pytest.raises(ProgramError, match="failing ended with status 3: no such thing"):
            program.wait_ready(lambda: False)


def test_children_end_with_their_program(tmp_path: Path) -> None:
    """A program's children, which TERM does not reach, are ended with it."""
    with Programs(tmp_path) as programs:
        program = programs.start("parent", ["sh", "-c", "sleep 1000 & echo $!; wait"])
        child = psutil.Process(int(wait_until(program.tail, PATIENCE, "the child's pid")))
        program.terminate()
        assert ended(child)


def test_a_port_in_use_is_replaced_and_named() -> None:
    """Another port is chosen, and the note names both."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        wanted = server.getsockname()[1]
        port = ports.choose(wanted)
    assert port.number != wanted
    assert port.note == f"port {wanted} is in use, {port.number} is taken instead"


@pytest.mark.parametrize(
    ("canonical", "aliases", "dotted"),
    [
        ("mx", [], None),
        ("mx.example.org", ["mx"], "mx.example.org"),
        ("localhost", ["mx.example.org"], "mx.example.org"),
    ],
)
def test_host_name_without_a_dot_is_told(
    monkeypatch: pytest.MonkeyPatch, canonical: str, aliases: list[str], dotted: str | None
) -> None:
    """The advice comes only where neither the canonical name of the host nor an alias has a dot."""
    monkeypatch.setattr(socket, "gethostname", lambda: "mx")
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda _: (canonical, aliases, ["127.0.1.1"]))
    assert hostname.dotted_name() == dotted
    assert (hostname.advice() is None) == (dotted is not None)
