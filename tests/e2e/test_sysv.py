"""deploy/sysv/miltscan-sandwich for real: two sendmails, their queue runners and miltscan in a private folder."""

import grp
import os
import pwd
import re
import resource
import shlex
import shutil
import smtplib
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.fakes.eicar import EICAR
from tests.harness import client, milter_settings, ports, preload, programs
from tests.harness.clamav import Clamd
from tests.harness.ending import ended
from tests.harness.mailbox import Mailbox
from tests.harness.milter import accepts
from tests.harness.processes import PATIENCE, Program, Programs, wait_until
from tests.harness.sandwich import private_folder
from tests.harness.sendmail import DOMAIN, Sendmail, Settings, build

SCRIPT = programs.CHECKOUT / "deploy" / "sysv" / "miltscan-sandwich"
PARTS = ["delivery", "delivery-queue", "miltscan", "incoming", "incoming-queue"]


@dataclass
class Host:
    """A private folder with all that the script starts, and the services that it requires."""

    folder: Path
    programs: Programs
    mailbox: Mailbox
    clamd: Clamd
    incoming: Sendmail
    delivery: Sendmail
    pids: dict[str, int] = field(default_factory=dict)
    built: dict[Path, str] = field(default_factory=dict)
    whole: bool = False

    def files(self) -> list[Path]:
        """The configurations."""
        return [self.incoming.configuration, self.delivery.configuration, self.folder / "miltscan.toml"]

    @property
    def socket(self) -> Path:
        """Of the milter."""
        return self.folder / "run" / "miltscan.sock"

    def pid_file(self, part: str) -> Path:
        """Where the pid of a part stands."""
        return self.folder / f"{part}.pid"

    def write_defaults(self, **more: object) -> None:
        """The script's settings; `more` replace or add to them."""
        sendmail = self.folder / "bin" / "sendmail"
        sendmail.parent.mkdir(exist_ok=True)
        environment = [f"{name}={value}" for name, value in preload.environment(self.folder).items()]
        command = shlex.join(["exec", "env", *environment, str(preload.program(self.folder))])
        sendmail.write_text(f'#!/bin/sh\n{command} "$@"\n')
        sendmail.chmod(0o755)
        user = pwd.getpwuid(os.geteuid())
        values = {
            "SENDMAIL": sendmail,
            "INCOMING_CF": self.incoming.configuration,
            "DELIVERY_CF": self.delivery.configuration,
            **{f"{part.replace('-', '_').upper()}_PID": self.pid_file(part) for part in PARTS},
            "MILTSCAN": Path(sys.executable).parent / "miltscan",
            "MILTSCAN_CONFIG": self.folder / "miltscan.toml",
            "MILTSCAN_USER": user.pw_name,
            "MILTSCAN_GROUP": user.pw_gid,
            "MILTSCAN_RUN": self.folder / "run",
            "MILTSCAN_STATE": self.folder / "state",
            "MILTSCAN_LOG": self.folder / "log.d" / "miltscan.log",
            "SENDMAIL_PATIENCE": 1,
            "START_PATIENCE": 60,
            **more,
        }
        lines = [f"{name}={shlex.quote(str(value))}\n" for name, value in values.items()]
        (self.folder / "defaults").write_text("".join(lines))

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """The script with an argument. Its output goes to files: a daemon that kept a pipe open would be waited for."""
        with (self.folder / "out").open("w+") as out, (self.folder / "err").open("w+") as err:
            environment = {**os.environ, "MILTSCAN_DEFAULTS": str(self.folder / "defaults")}
            done = subprocess.run([SCRIPT, command], check=False, stdout=out, stderr=err, env=environment, timeout=200)
        texts = [(self.folder / name).read_text() for name in ("out", "err")]
        return subprocess.CompletedProcess(done.args, done.returncode, *texts)

    def start(self) -> None:
        """Everything, which has to succeed."""
        result = self.run("start")
        assert result.returncode == 0, result
        self.pids = self.recorded()

    def recorded(self) -> dict[str, int]:
        """The pids that stand in the pid files."""
        files = {part: self.pid_file(part) for part in PARTS}
        texts = {part: file.read_text().split() for part, file in files.items() if file.exists()}
        return {part: int(text[0]) for part, text in texts.items() if text}  # sendmail makes the file, then writes it

    def left(self) -> list[psutil.Process]:
        """Every living process of the sandwich: a sendmail of this folder, or a miltscan with its configuration."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return (
                process.exe() == str(self.folder / "sendmail")
                or str(self.folder / "miltscan.toml") in process.cmdline()
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def restore(self) -> None:
        """Write the configurations as they were built."""
        for file, text in self.built.items():
            file.write_text(text)

    def clear(self) -> None:
        """End and remove what a test has left."""
        self.end()
        self.restore()
        for pattern in ("*.pid", "*.start", "mqueue*/*", "mailbox/new/*"):
            for path in self.folder.glob(pattern):
                path.unlink()
        for name in ("run", "state", "log.d"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.write_defaults()

    def end(self) -> None:
        """End what a test has left until nothing remains: a supervisor may just have replaced a worker."""
        wait_until(lambda: not self._killed(), PATIENCE, "the end of all that was started")

    def _killed(self) -> list[psutil.Process]:
        left = self.left()
        for process in left:
            with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                process.kill()
        return left

    def send(self, body: bytes, name: str) -> client.Reply:
        """A message to incoming."""
        head = f"From: a@{DOMAIN}\r\nTo: b@{DOMAIN}\r\nMessage-ID: <{name}@{DOMAIN}>\r\n\r\n"
        return client.send(self.incoming.port, head.encode() + body)


@pytest.fixture(scope="module")
def built() -> Iterator[Host]:
    """The folder of all tests, in which clamd and the mailbox run."""
    with private_folder() as folder, Programs(folder) as owner:
        incoming, delivery = (Sendmail(owner, name, ports.choose().number) for name in ("incoming", "delivery"))
        mailbox = Mailbox.start(owner)
        build(folder, Settings(incoming.port, delivery.port, mailbox.port, folder / "run" / "miltscan.sock"))
        clamd = Clamd.prepare(owner, test_database=True)
        clamd.start()
        clamd.wait_ready()
        mailbox.wait_ready()
        milter_settings.write(folder, f"unix:{clamd.socket}", ports.choose().number)
        made = Host(folder, owner, mailbox, clamd, incoming, delivery)
        made.built = {file: file.read_text() for file in made.files()}
        yield made
        made.end()


@pytest.fixture
def host(built: Host) -> Host:
    """Nothing of the sandwich runs, as on a new host; clamd and the mailbox do."""
    built.clear()
    built.whole = False
    return built


@pytest.fixture
def running(built: Host) -> Iterator[Host]:
    """Everything runs, perhaps since another test."""
    if not built.whole or built.run("status").returncode:
        built.clear()
        built.start()
        built.whole = True
    built.pids = built.recorded()
    yield built
    built.restore()


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Program]:
    """A process that is not part of the sandwich."""
    with Programs(tmp_path) as owner:
        yield owner.start("stranger", ["sleep", "3600"])


def log_group() -> str:
    """The group that reads the logs of Debian, to which only root can give a file."""
    return "adm" if os.geteuid() == 0 else grp.getgrgid(os.getegid()).gr_name


def told(result: subprocess.CompletedProcess[str], what: str) -> list[str]:
    """The parts for which the script printed this, in order."""
    return re.findall(rf"^([\w-]+): {what}", result.stdout, re.MULTILINE)


def test_start_and_stop(host: Host) -> None:
    """Delivery starts first and incoming last, and stops in reverse; each answers, and nothing is left after a stop."""
    log = host.folder / "log.d" / "miltscan.log"
    result = host.run("start")
    assert (result.returncode, told(result, "started, pid")) == (0, PARTS), result
    assert set(host.recorded()) == set(PARTS)
    assert (stat.S_IMODE(log.stat().st_mode), log.group()) == (0o640, log_group())  # it names senders and recipients
    assert stat.S_IMODE((host.folder / "state").stat().st_mode) == 0o700
    for port in (host.incoming.port, host.delivery.port):
        with smtplib.SMTP("127.0.0.1", port, timeout=60) as session:
            assert session.noop()[0] == 250
    assert accepts(host.socket)
    wait_until(lambda: host.send(b"clean\r\n", "clean").code == 250, PATIENCE, "miltscan's engine")
    assert host.mailbox.wait_for(f"<clean@{DOMAIN}>").message["X-Virus-Scanned"]
    assert host.send(EICAR + b"\r\n", "virus").code == 550
    assert (host.run("status").returncode, told(host.run("status"), "running, pid")) == (0, PARTS)
    result = host.run("stop")
    assert (result.returncode, told(result, "stopped")) == (0, PARTS[::-1]), result
    assert host.left() == []
    assert host.recorded() == {}
    assert not host.socket.exists()
    result = host.run("status")
    assert (result.returncode, told(result, "not running")) == (3, PARTS)


def test_a_start_follows_the_profile(host: Host) -> None:
    """A file next to the .cf files sets interval and priority, here of a persistent runner; a stop ends it too.

    Miltscan may have more descriptors than a shell has, if the host allows it.
    """
    (host.folder / "incoming.start").write_text("QUEUE_INTERVAL=p1s\n")
    (host.folder / "delivery.start").write_text("QUEUE_INTERVAL=5m\nNICE=7\n")
    host.start()
    soft, _ = psutil.Process(host.pids["miltscan"]).rlimit(psutil.RLIMIT_NOFILE)
    assert soft in {65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]}
    commands = {part: host.pid_file(part).read_text().splitlines()[1] for part in PARTS if part.endswith("-queue")}
    assert commands["incoming-queue"].split()[-1] == "-qp1s"
    assert commands["delivery-queue"].split()[-1] == "-q5m"
    own = os.getpriority(os.PRIO_PROCESS, 0)
    nice = {part: os.getpriority(os.PRIO_PROCESS, host.pids[part]) - own for part in ("incoming", "delivery")}
    assert nice == {"incoming": 0, "delivery": 7}
    assert host.run("stop").returncode == 0
    assert host.left() == []


def test_double_start_and_double_stop(host: Host) -> None:
    """The second start or stop reports it, changes nothing, and succeeds."""
    host.start()
    result = host.run("start")
    assert (result.returncode, told(result, "already running")) == (0, PARTS)
    assert host.recorded() == host.pids
    assert host.run("stop").returncode == 0
    result = host.run("stop")
    assert (result.returncode, told(result, "not running")) == (0, PARTS[::-1])


@pytest.mark.parametrize("part", PARTS)
def test_one_part_missing(running: Host, part: str) -> None:
    """A start replaces the part whose pid file a crash has left, and no other."""
    crash(running.pids[part])
    status = running.run("status")
    assert (status.returncode, told(status, "not running, but has a pid file")) == (3, [part])
    result = running.run("start")
    assert (result.returncode, told(result, "started"), told(result, "removing stale")) == (0, [part], [part]), result
    now = running.recorded()
    assert {name for name in PARTS if now[name] != running.pids[name]} == {part}
    assert running.run("status").returncode == 0


def crash(pid: int) -> None:
    """Kill -9, and wait for the end."""
    process = psutil.Process(pid)
    process.kill()
    wait_until(lambda: ended(process), PATIENCE, "its end")


def test_restart(running: Host) -> None:
    """A restart stops every part and starts it again."""
    result = running.run("restart")
    assert (result.returncode, told(result, "stopped"), told(result, "started")) == (0, PARTS[::-1], PARTS), result
    assert not set(running.recorded().values()) & set(running.pids.values())


def test_renew(running: Host) -> None:
    """Miltscan starts again in the same process, and accepts mail all the time."""
    wait_until(lambda: running.send(b"hello\r\n", "clean").code == 250, PATIENCE, "miltscan's engine")
    log = running.folder / "log.d" / "miltscan.log"
    before = log.read_text().count('"event":"ready"')
    assert running.run("renew").returncode == 0
    replies = []

    def is_renewed() -> bool:
        replies.append(running.send(b"hello\r\n", "clean").code)
        return log.read_text().count('"event":"ready"') > before

    wait_until(is_renewed, PATIENCE, "the new start")
    assert set(replies) == {250}
    assert running.recorded() == running.pids


@pytest.mark.parametrize("wrong", ["incoming.cf", "delivery.cf", "miltscan.toml"])
def test_a_wrong_file_stops_nothing(running: Host, wrong: str) -> None:
    """The test of the configuration names file and line; restart and reload refuse."""
    assert running.run("configtest").returncode == 0
    with (running.folder / wrong).open("a") as file:
        file.write("\nO Nonsense=1\n")
    for command in ("configtest", "restart", "reload"):
        result = running.run(command)
        assert result.returncode == 1
        assert f"{running.folder / wrong} is invalid\n{running.folder / wrong}: " in result.stderr
    assert running.recorded() == running.pids
    assert running.run("status").returncode == 0


@pytest.mark.parametrize("text", ["", "garbage\n", "0\n", "-1\n", "4194304\n", "STRANGER\n"])
def test_stale_pid_files(host: Host, stranger: Program, text: str) -> None:
    """A pid file of no process, of a stranger, empty or garbage is replaced, and the stranger lives."""
    for part in PARTS:
        host.pid_file(part).write_text(text.replace("STRANGER", str(stranger.pid)))
    assert host.run("stop").returncode == 0
    for part in PARTS:
        host.pid_file(part).write_text(text.replace("STRANGER", str(stranger.pid)))
    result = host.run("start")
    assert (result.returncode, told(result, "started"), told(result, "removing stale")) == (0, PARTS, PARTS), result
    assert host.run("stop").returncode == 0
    assert (stranger.alive, host.left()) == (True, [])


def test_a_sendmail_that_is_not_ours(host: Host) -> None:
    """The distribution's own sendmail may use the same pid file: it is named, and neither ended nor treated as ours."""
    other = host.folder / "other.cf"
    other.write_text(host.incoming.configuration.read_text())
    started(host, "other", [host.folder / "sendmail", "-C", other, "-bD"], "incoming")
    result = host.run("start")
    assert (result.returncode, told(result, "started")) == (1, PARTS[:3])
    assert "incoming: " in result.stderr
    assert "belongs to another sendmail" in result.stderr
    assert host.run("stop").returncode == 1
    assert [process.pid for process in host.left()] == [host.recorded()["incoming"]]


def started(host: Host, name: str, command: list[str | Path], part: str) -> Program:
    """A sendmail that was started by hand, once its pid file is there."""
    program = host.programs.start(name, command, preload.environment(host.folder))
    program.wait_ready(lambda: part in host.recorded())
    return program


def test_an_open_session_does_not_outlive_a_stop(host: Host) -> None:
    """A client that does not leave is left after the patience; its session ends with the rest."""
    host.start()
    with smtplib.SMTP("127.0.0.1", host.incoming.port, timeout=60) as session:
        session.ehlo()
        assert host.run("stop").returncode == 0
        assert host.left() == []
        with pytest.raises((smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException)):
            session.mail(f"a@{DOMAIN}")


def test_what_a_crash_has_left_is_ended(host: Host) -> None:
    """The session of a sendmail that was killed goes on without it, until a stop."""
    host.start()
    with smtplib.SMTP("127.0.0.1", host.incoming.port, timeout=60) as session:
        session.ehlo()
        crash(host.pids["incoming"])
        assert session.noop()[0] == 250
        assert host.run("stop").returncode == 0
        assert host.left() == []
        session.close()


def test_a_host_with_some_parts_only(host: Host) -> None:
    """The other parts are not started; here the delivery sendmail is started for each message."""
    parts = ["delivery-queue", "miltscan"]
    host.write_defaults(PARTS=" ".join(parts))
    assert told(host.run("start"), "started") == parts
    assert set(host.recorded()) == set(parts)
    assert host.run("status").returncode == 0
    assert told(host.run("configtest"), ".* is valid") == parts
    assert told(host.run("stop"), "stopped") == parts[::-1]
    assert host.left() == []


def test_reload(host: Host) -> None:
    """Miltscan reads its configuration, and no process is replaced."""
    host.start()
    wait_until(lambda: host.send(EICAR + b"\r\n", "virus").code == 550, PATIENCE, "miltscan's engine")
    with (host.folder / "miltscan.toml").open("a") as file:
        file.write('[policy]\non_infected = "tempfail"\n')
    assert host.run("reload").returncode == 0
    wait_until(lambda: host.send(EICAR + b"\r\n", "virus").code == 451, PATIENCE, "the new configuration")
    assert host.recorded() == host.pids


def test_reload_of_what_does_not_run(host: Host) -> None:
    """A reload of a service that does not run fails."""
    result = host.run("reload")
    assert (result.returncode, result.stderr) == (1, "miltscan: not running\n")


@pytest.mark.parametrize("command", ["", "begin", "start stop"])
def test_usage(host: Host, command: str) -> None:
    """Any other argument is an error with status 2."""
    result = host.run(command)
    assert (result.returncode, "usage: " in result.stderr) == (2, True)
