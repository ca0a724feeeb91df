"""`miltscan doctor` on the real sandwich: it finds no fault, and then each of many faults by its finding."""

import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from miltscan.cli import app
from tests.fakes.runner import CliRunner
from tests.harness import ports
from tests.harness.milter import accepts
from tests.harness.miltscan import ScanningSandwich, Tables
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.sandwich import private_folder

SMALL: Tables = {"limits": {"message_size": "1MiB"}, "clamd": {"canary_interval": "3s"}, "milter": {"workers": 1}}
DAY = 86400

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root sees every process and file")

Fault = Callable[[ScanningSandwich], AbstractContextManager[object]]
"""Causes one fault, and removes it at the end of the context."""


class Case(NamedTuple):
    """A fault, and the subject and words of its finding."""

    cause: Fault
    subject: str
    text: str


@pytest.fixture(scope="module")
def whole() -> Iterator[ScanningSandwich]:
    """A sandwich with queue runs."""
    with private_folder() as folder:
        sandwich = ScanningSandwich(folder, SMALL, site={"SITE_MESSAGE_SIZE": str(2**20)})
        sandwich.queue_interval = "1h"
        with sandwich:
            yield sandwich


@pytest.fixture(autouse=True)
def dotted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives this host a name with a dot, as the sandwich's sendmails have it."""
    monkeypatch.setattr(socket, "gethostname", lambda: "mx.example.test")


def doctor(sandwich: ScanningSandwich, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the findings that are not ok."""
    places: list[str | Path] = ["--incoming", sandwich.incoming.configuration, "--log", sandwich.syslog.file]
    places += ["--delivery", sandwich.delivery.configuration, "--config", sandwich.miltscan.configuration]
    result = CliRunner().invoke(app, ["doctor", "--json", *map(str, places), *arguments], catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert printed["well"] is (result.exit_code == 0)
    return result.exit_code, [one for one in printed["findings"] if one["level"] != "ok"]


def wrong(sandwich: ScanningSandwich, *arguments: str) -> list[tuple[str, str]]:
    """Subject and text of each fault, which has a remedy.

    The age of the host's signatures does not count, nor that these services run as root.
    """
    status, found = doctor(sandwich, *arguments)
    assert all(one["remedy"] for one in found)
    assert status == int(bool(found))
    return [(one["subject"], one["text"]) for one in found if counts(one)]


def counts(finding: dict[str, Any]) -> bool:
    """Whether it is about the sandwich, and not about this host or its user."""
    return "days old" not in finding["text"] and finding["subject"] != "user"


@contextmanager
def edited(file: Path, *changes: tuple[str, str]) -> Iterator[None]:
    """The file with each pattern replaced; its time stays, as if the daemon had started with it."""
    before, times = file.read_text(), file.stat()
    text = before
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, f"{pattern} is not in {file}"
    try:
        file.write_text(text)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        yield
    finally:
        file.write_text(before)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def incoming(*changes: tuple[str, str]) -> Fault:
    """A fault in incoming.cf."""
    return lambda sandwich: edited(sandwich.incoming.configuration, *changes)


def delivery(*changes: tuple[str, str]) -> Fault:
    """A fault in delivery.cf."""
    return lambda sandwich: edited(sandwich.delivery.configuration, *changes)


def clamd(*changes: tuple[str, str]) -> Fault:
    """A fault in clamd.conf."""
    return lambda sandwich: edited(sandwich.clamd.folder / "clamd.conf", *changes)


def mailer(name: str, field: str, value: str) -> tuple[str, str]:
    """Another value for one field of a mailer, which may be in a continuation line."""
    return rf"^(M{name},(?:[^\n]|\n\t)*?\b{field}=)(?:TCP )?[^,\n]*", rf"\g<1>{value}"


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """The path has another mode."""
    before = path.stat().st_mode & 0o7777
    path.chmod(bits)
    try:
        yield
    finally:
        path.chmod(before)


@contextmanager
def former_sendmail(sandwich: ScanningSandwich) -> Iterator[None]:
    """The folder has the distribution's sendmail.cf, which also listened on port 587."""
    file = sandwich.folder / "sendmail.cf"
    ports_of = f"{sandwich.incoming.port}", "submission, M=Ea"
    file.write_text("".join(f"O DaemonPortOptions=Name=MTA, Addr=127.0.0.1, Port={port}\n" for port in ports_of))
    try:
        yield
    finally:
        file.unlink()


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """The file or folder is missing."""
    away = path.with_name(f"{path.name}.away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def runs_as_nobody(sandwich: ScanningSandwich) -> Iterator[None]:
    """The incoming sendmail runs as another user than root, and only root may use the socket."""
    with mode(sandwich.miltscan.socket, 0o600), incoming((r"\Z", "O RunAsUser=nobody\n"))(sandwich):
        yield


@contextmanager
def changed_later(sandwich: ScanningSandwich) -> Iterator[None]:
    """The .cf file is newer than the process."""
    file, before = sandwich.incoming.configuration, sandwich.incoming.configuration.stat()
    os.utime(file, (before.st_atime, before.st_mtime + DAY))
    try:
        yield
    finally:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@contextmanager
def old_mail(sandwich: ScanningSandwich) -> Iterator[None]:
    """The queue contains a very old message."""
    file = sandwich.incoming.queue / "qf6AMG2Lqw032516"
    file.touch()
    os.utime(file, (0, 0))
    try:
        yield
    finally:
        file.unlink()


IMPOSTOR = """
import socket, sys
family = socket.AF_UNIX if "/" in sys.argv[1] else socket.AF_INET
server = socket.socket(family)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(sys.argv[1] if family == socket.AF_UNIX else ("127.0.0.1", int(sys.argv[1])))
server.listen()
while True:
    server.accept()[0].close()
"""


@contextmanager
def impostor(sandwich: ScanningSandwich, place: str | Path, there: Callable[[], bool]) -> Iterator[None]:
    """Another program listens at `place` and closes each connection."""
    other = sandwich.programs.start("other", [sys.executable, "-c", IMPOSTOR, place])
    try:
        wait_until(there, PATIENCE, "the other program")
        yield
    finally:
        other.terminate()


@contextmanager
def another_program(sandwich: ScanningSandwich) -> Iterator[None]:
    """The delivery sendmail is stopped, and another program has its port."""
    port = sandwich.delivery.port
    sandwich.delivery.stop()
    with impostor(sandwich, str(port), lambda: ports.is_open(port)):
        yield


@contextmanager
def another_milter(sandwich: ScanningSandwich) -> Iterator[None]:
    """Miltscan is stopped, and another program has its socket."""
    sandwich.miltscan.stop()
    path = sandwich.miltscan.socket
    with impostor(sandwich, path, lambda: accepts(path)):
        yield
    path.unlink()


@contextmanager
def stopped(part: str, sandwich: ScanningSandwich) -> Iterator[None]:
    """One part of the sandwich is stopped."""
    getattr(sandwich, part).stop()
    yield


@contextmanager
def started_twice(sandwich: ScanningSandwich) -> Iterator[None]:
    """The pid file names a process that does not listen."""
    with edited(sandwich.incoming.pid_file, (r"\A\d+", str(sandwich.delivery.running.pid))):
        yield


CASES = {
    # incoming.cf: the filter
    "fail-open": Case(incoming((r", F=T,", ",")), "filter miltscan F=", "passes unscanned (fail-open)"),
    "refuses for good": Case(incoming((r", F=T,", ", F=R,")), "filter miltscan F=", "sendmail rejects all mail"),
    "short E:": Case(incoming((r"E:5m", "E:30s")), "filter miltscan T=", "E:30s is not above"),
    "short R:": Case(incoming((r"R:30s", "R:1s")), "filter miltscan T=", "R:1s is too short"),
    "slow C:": Case(incoming((r"C:10s", "C:5m")), "filter miltscan T=", "C:300s"),
    "no filter": Case(incoming((r"^O InputMailFilters.*", "")), "daemon incoming", "mail passes unscanned"),
    "another socket": Case(incoming((r"S=unix:[^,]*", "S=unix:/run/other.sock")), "daemon incoming", "does not ask"),
    "no client address": Case(incoming((r", \{client_addr\}", "")), "incoming.cf macros", "{client_addr} is not sent"),
    "no queue ID": Case(incoming((r"(envfrom|eom)=i, ", r"\1=")), "incoming.cf macros", "i is not sent"),
    # incoming.cf: mailers, daemon
    "no k": Case(incoming(mailer("esmtp", "F", "mDFMuXa")), "incoming.cf Mesmtp", "has no k"),
    "local with f": Case(incoming(mailer("local", "F", "klsDFMAf")), "incoming.cf Mlocal", "has f"),
    "to the Internet": Case(incoming(mailer("smtp", "A", "TCP $h")), "incoming.cf Msmtp", "bypasses the delivery"),
    "old scanner": Case(incoming(mailer("relay", "A", "TCP [127.0.0.1] 18000")), "incoming.cf Mrelay", "port 18000"),
    "own mailbox": Case(incoming(mailer("local", "P", "/usr/bin/procmail")), "incoming.cf Mlocal", "by itself"),
    "no Listen": Case(incoming((r", Listen=511", "")), "daemon incoming", "Listen=10"),
    "no SIZE": Case(incoming((r"^O MaxMessageSize=.*", "")), "incoming.cf MaxMessageSize", "none, but"),
    "port lost": Case(former_sendmail, "incoming.cf port 587", "does not listen on IPv4 port 587"),
    "delivery refuses first": Case(
        delivery((r"^O RefuseLA=.*", "O RefuseLA=1000")), "load limits", "accepted mail waits"
    ),
    "unsafe queue": Case(incoming((r"^O SuperSafe=.*", "O SuperSafe=False")), "incoming.cf SuperSafe", "loses mail"),
    "edited since": Case(changed_later, "incoming configuration", "has changed since the start"),
    "no incoming.cf": Case(lambda s: gone(s.incoming.configuration), "incoming.cf", "No such file"),
    # delivery.cf
    "one queue": Case(delivery((r"/mqueuedelivery$", "/mqueue")), "queues", "belongs to both"),
    "one pid file": Case(delivery((r"/delivery\.pid$", "/incoming.pid")), "pid files", "both write"),
    "open to all": Case(
        delivery((r"Addr=127.0.0.1, ", ""), (r"^C\{DeliveryFrom\}.*", "")), "delivery.cf daemon", "bypasses the scan"
    ),
    "a loop": Case(
        lambda s: delivery(mailer("relay", "A", f"TCP [127.0.0.1] {s.incoming.port}"))(s),
        "delivery.cf Mrelay",
        "a loop",
    ),
    "delivery without k": Case(delivery(mailer("smtp8", "F", "mDFMuX8")), "delivery.cf Msmtp8", "has no k"),
    "no delivery.cf": Case(lambda s: gone(s.delivery.configuration), "delivery.cf", "No such file"),
    # folders, files, sockets
    "open queue": Case(lambda s: mode(s.incoming.queue, 0o777), "incoming queue", "any user of the host"),
    "unlike queues": Case(lambda s: mode(s.delivery.queue, 0o750), "queues", "0750"),
    "no queue": Case(lambda s: gone(s.delivery.queue), "delivery queue", "No such file"),
    "old mail": Case(old_mail, "incoming queue", "waiting messages: 1, the oldest for"),
    "no pid file": Case(lambda s: gone(s.delivery.pid_file), "delivery pid file", "is missing"),
    "stale pid file": Case(
        lambda s: edited(s.incoming.pid_file, (r"\A\d+", str(2**22 + 1))), "incoming pid file", "is stale: process"
    ),
    "another's pid": Case(
        lambda s: edited(s.incoming.pid_file, (r"\A\d+", str(os.getpid()))), "incoming pid file", "has this pid now"
    ),
    "started twice": Case(started_twice, "incoming pid file", "two were started"),
    "no queue run": Case(lambda s: edited(s.delivery.pid_file, (r" -q\w+", "")), "delivery queue run", "not found"),
    "another file": Case(
        lambda s: edited(s.delivery.pid_file, (r"delivery\.cf", "sendmail.cf")),
        "delivery configuration",
        "it runs with",
    ),
    "open socket folder": Case(lambda s: mode(s.folder / "run", 0o777), "socket ", "treats the socket as unsafe"),
    "group's socket folder": Case(lambda s: mode(s.folder / "run", 0o775), "socket ", "treats the socket as unsafe"),
    "closed socket": Case(runs_as_nobody, "socket ", "nobody, the user of sendmail, may not connect"),
    "no spool": Case(lambda s: gone(s.folder / "spool"), "spool.directory", "cannot store a message"),
    # clamd's configuration
    "hidden limits": Case(clamd((r"^AlertExceedsMax yes", "AlertExceedsMax no")), "clamd unix:", "AlertExceedsMax off"),
    "low limit": Case(clamd((r"^MaxFileSize .*", "MaxFileSize 1K")), "clamd unix:", "MaxFileSize 1KiB is below"),
    "slow clamd": Case(clamd((r"^MaxScanTime .*", "MaxScanTime 0")), "clamd unix:", "MaxScanTime no limit"),
}


def test_a_correct_sandwich_has_no_fault(whole: ScanningSandwich) -> None:
    """No finding is a fault, and two messages pass through: each hop reports what it did."""
    assert wrong(whole, "--send") == []
    places: list[str | Path] = ["--incoming", whole.incoming.configuration, "--delivery", whole.delivery.configuration]
    places += ["--config", whole.miltscan.configuration, "--log", whole.syslog.file]
    lines = CliRunner().invoke(app, ["doctor", "--send", *map(str, places)]).stdout
    for line in (
        r"clean message: incoming: 250 2\.0\.0 \w+ Message accepted",
        r"clean message: miltscan: X-Virus-Status: Clean",
        r"clean message: handoff: stat=Sent \(\w+ Message accepted",
        r"clean message: delivery: \w+: stat=Sent \(.* in the mailbox\)",
        r"test signature: incoming: 550 5\.7\.1 Virus found: \S+ \(\w+\), as expected by policy",
        r"incoming port \d+: sendmail listens \(pid \d+\)",
        r"milter unix:\S+: miltscan listens \(pid \d+\)",
        r"delivery port \d+: greets with 220 ",
    ):
        assert re.search(rf"^   ok       {line}", lines, re.MULTILINE), line


@pytest.mark.parametrize("name", CASES)
def test_one_fault(whole: ScanningSandwich, name: str) -> None:
    """Doctor names the fault, although the programs still run."""
    case = CASES[name]
    with case.cause(whole):
        found = wrong(whole)
    assert [one for one in found if case.subject in one[0] and case.text in one[1]], found


def test_no_fault_remains(whole: ScanningSandwich) -> None:
    """Without the faults above there is no finding, so they were its cause."""
    assert wrong(whole) == []


def test_a_host_name_without_a_dot(whole: ScanningSandwich, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sendmail would sleep 60 seconds at each start."""
    monkeypatch.setattr(socket, "gethostname", lambda: "mx")
    monkeypatch.setattr(socket, "gethostbyname_ex", lambda name: (name, [], ["127.0.1.1"]))
    assert wrong(whole) == [("host name", "mx has no dot: each start of a sendmail sleeps 60 seconds")]


def test_a_full_disk(whole: ScanningSandwich, monkeypatch: pytest.MonkeyPatch) -> None:
    """The spool, both queues and the temporary folder of clamd each have an error."""
    room = os.statvfs(whole.folder)
    full = os.statvfs_result([*room[:3], 10, 10, *room[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert sorted({re.split(" /| unix:", subject)[0] for subject, _ in wrong(whole)}) == [
        "clamd",
        "delivery queue",
        "incoming queue",
        "spool.directory",
    ]


@pytest.fixture
def fragile(whole: ScanningSandwich) -> Iterator[ScanningSandwich]:
    """The same sandwich, repaired after each test."""
    yield whole
    whole.repair()


RUNNING = {
    "miltscan stopped": Case(partial(stopped, "miltscan"), "milter unix:", "no process listens on it"),
    "another milter": Case(another_milter, "milter unix:", "listens on it, not miltscan"),
    "delivery stopped": Case(partial(stopped, "delivery"), "delivery port", "no process listens on it"),
    "another program": Case(another_program, "delivery port", "not sendmail"),
    "clamd stopped": Case(partial(stopped, "clamd"), "clamd unix:", "fails its self-test"),
}


@pytest.mark.parametrize("name", RUNNING)
def test_one_program_is_missing(fragile: ScanningSandwich, name: str) -> None:
    """A program that is stopped, or replaced by another one, is named."""
    case = RUNNING[name]
    with case.cause(fragile):
        found = wrong(fragile)
    assert [one for one in found if case.subject in one[0] and case.text in one[1]], found


def repairs(sandwich: ScanningSandwich, *arguments: str) -> list[str]:
    """The subject of each fault that stands for itself, in the order of repair."""
    found = [one for one in doctor(sandwich, *arguments)[1] if one["repair"] and counts(one)]
    return [one["subject"] for one in sorted(found, key=lambda one: int(one["repair"]))]


@pytest.mark.parametrize("part", ["miltscan", "delivery", "clamd", "incoming"])
def test_a_part_that_is_stopped_is_one_fault(fragile: ScanningSandwich, part: str) -> None:
    """Greeting, pid file, queue run, socket, folder and both messages fail with the part and follow from one cause."""
    subject = {
        "miltscan": f"milter unix:{fragile.miltscan.socket}",
        "delivery": f"delivery port {fragile.delivery.port}",
        "incoming": f"incoming port {fragile.incoming.port}",
        "clamd": f"clamd {fragile.miltscan.servers[0]}",
    }[part]
    with stopped(part, fragile):
        assert repairs(fragile, "--send") == [subject]


def test_the_distributions_own_sendmail_is_one_fault(whole: ScanningSandwich) -> None:
    """A .cf file without filter and handoff is not an incoming side, and the faults of its mailers follow from that."""
    lines = whole.incoming.configuration.read_text().splitlines()
    daemon = f"O DaemonPortOptions=Name=MTA, Port={whole.incoming.port}"
    own = "\n".join([daemon, *(line for line in lines if line.startswith(("O QueueDirectory", "O PidFile")))])
    with edited(whole.incoming.configuration, (r"(?s)\A.*", own)):
        assert repairs(whole) == [str(whole.incoming.configuration)]


def test_a_host_without_the_recipient_is_one_fault(whole: ScanningSandwich) -> None:
    """Doctor does not send the second message, which incoming would refuse as well, and names the option."""
    (one,) = [one for one in doctor(whole, "--send", "--to", "postmaster@..")[1] if one["repair"] and counts(one)]
    assert one["subject"] == "clean message: incoming"
    assert one["text"].startswith("refuses the recipient postmaster@.., so that no message was sent: 553 5.1.2")
    assert "--to ADDRESS" in one["remedy"]


def as_nobody(work: Callable[[], object]) -> Any:  # noqa: ANN401 - JSON
    """What `work` returns in a process of an ordinary user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer)


def test_an_ordinary_user_gets_one_warning(whole: ScanningSandwich) -> None:
    """What the user may not see is unknown and not a fault; doctor and check give no other remedy."""
    files = [whole.miltscan.configuration, whole.incoming.configuration, whole.delivery.configuration]
    with ExitStack() as changes:
        changes.enter_context(mode(whole.folder, 0o711))
        for file in files:
            changes.enter_context(mode(file, 0o644))
        status, found = as_nobody(lambda: doctor(whole))
        place = ["check", "--config", str(files[0])]
        checked = as_nobody(lambda: CliRunner().invoke(app, place, catch_exceptions=False).stdout)
    assert status == 1
    assert [one["subject"] for one in found if one["repair"] and counts(one)] == ["doctor"]
    assert {one["remedy"] for one in found if "days old" not in one["text"]} <= {
        "run it as root",
        "run this command as root",
    }
    assert [line.split(":")[0] for line in checked.splitlines() if not line.startswith("ok")] == ["warning  check"]


def test_a_clamd_whose_temporary_folder_is_gone(fragile: ScanningSandwich) -> None:
    """Such a clamd answers OK for what it cannot scan; the self-test detects it."""
    shutil.rmtree(fragile.clamd.temporary)
    try:
        assert any("fails its self-test" in text for _, text in wrong(fragile))
    finally:
        fragile.clamd.temporary.mkdir()


def sent(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The findings about the two messages."""
    return [one for one in found if one[0].startswith(("clean message", "test signature"))]


def test_two_messages_without_miltscan(fragile: ScanningSandwich) -> None:
    """With F=T sendmail tempfails the first message at MAIL, and doctor does not send the second one."""
    fragile.miltscan.stop()
    ((subject, text),) = sent(wrong(fragile, "--send"))
    assert (subject, text.startswith("451 4.3.2")) == ("clean message: incoming", True)


def test_two_messages_without_a_delivery_sendmail(fragile: ScanningSandwich) -> None:
    """The clean one stays in the queue of incoming, and the finding has the reason."""
    fragile.delivery.stop()
    ((subject, text),) = sent(wrong(fragile, "--send"))
    assert (subject, text.startswith("stat=Deferred")) == ("clean message: handoff", True)


def test_two_messages_past_the_filter(fragile: ScanningSandwich) -> None:
    """An incoming sendmail without a filter accepts the test signature."""
    fragile.incoming.stop()
    try:
        with incoming((r"^O InputMailFilters.*", ""))(fragile):
            fragile.incoming.start(fragile.queue_interval)
            fragile.incoming.wait_ready()
            found = sent(wrong(fragile, "--send"))
    finally:
        fragile.incoming.stop()
        fragile.incoming.start(fragile.queue_interval)
        fragile.incoming.wait_ready()
    assert [(subject, "it was ACCEPTED" in text) for subject, text in found] == [("test signature: incoming", True)]
