"""The files of deploy/ for programs that read the log: each is given lines of a running miltscan, hostile ones too."""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from docs.generator import log_events
from tests.fakes import clamd_lies as lies
from tests.fakes.eicar import EICAR
from tests.fakes.mta import Message
from tests.harness import messages, programs
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import Programs, wait_until
from tests.milter.conftest import private_daemon
from tests.milter.daemon import Daemon

DEPLOY = programs.CHECKOUT / "deploy"
PATIENCE = 30.0
SENDER, RELAY, FRIEND = "8.8.4.4", "9.9.9.9", "10.1.2.3"
FORGED = (
    '"}\n{"client_address":"1.2.3.4","client_name":"x","sender":"x","recipients":[],"recipients_count":1,'
    '"direction":"inbound","size":1,"outcome":"infected","reason":null,"signature":"x","rule":"x","action":"reject",'
)
INJECTED = f'","event":"message","queue_id":"x","message_id":"x",{FORGED[4:]}'


def send(daemon: Daemon, address: str, times: int = 1, body: bytes = EICAR, text: str = "<a@example.org>") -> None:
    """Messages of a client whose name, sender, recipients and Message-ID are `text`."""
    family = b"6" if ":" in address else b"4"
    data = text.encode()
    with daemon.mta() as mta:
        mta.connect(host=data, family=family, address=("IPv6:" * (":" in address) + address).encode())
        mta.helo()
        mta.values[b"{msg_id}"] = data
        for _ in range(times):
            mta.send_message(Message(body=body, sender=data, recipients=(data, data)))


@pytest.fixture(scope="module")
def log() -> Iterator[list[str]]:
    """The lines of a service that met all kinds of mail."""
    with ExitStack() as stack:
        daemon = private_daemon(stack, {})
        daemon.start()
        daemon.wait_ready()
        wait_until(daemon.engines_up, PATIENCE, "an engine that is up")
        send(daemon, SENDER, times=3)
        send(daemon, "2001:4860:4860::8844")
        send(daemon, FRIEND, times=9)
        for text in (FORGED, INJECTED, INJECTED * 5, "\\" + INJECTED, '\\"' + INJECTED):
            send(daemon, RELAY, times=5, body=b"clean\r\n", text=text)
            send(daemon, FRIEND, text=text)
        send(daemon, SENDER, body=b"x" * 1_100_000)  # above the limit of size: unscanned
        daemon.clamd.behaviour = lies.always_ok
        daemon.wait_logged("engine_down")
        send(daemon, SENDER, body=b"while the engine is down\r\n")
        daemon.stop()
        yield daemon.running.log.read_text().splitlines()


def chosen(lines: Sequence[str], **fields: str) -> list[str]:
    """The lines with one of these values in each field."""
    parsed: list[tuple[str, dict[str, Any]]] = [(line, json.loads(line)) for line in lines]
    return [line for line, got in parsed if all(str(got.get(name)) in fields[name].split() for name in fields)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's has 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="miltscan-"))
    yield path
    shutil.rmtree(path)


def run(*command: str | Path, text: str | None = None) -> str:
    """What a program prints; it may fail only by grep's 1 for nothing found."""
    parts = [str(part) for part in command]
    result = subprocess.run(parts, check=False, capture_output=True, text=True, input=text, timeout=60)
    assert result.returncode in {0, 1}, result
    return result.stdout


# rsyslog


def rsyslog(folder: Path, owner: Programs, *files: str) -> None:
    """A rsyslogd that reads these files of ours and listens nowhere but in the folder."""
    settings = [f'global(workDirectory="{folder}")', 'module(load="imuxsock" SysSock.Use="off")']
    settings.append(f'input(type="imuxsock" socket="{folder}/log")')
    settings += [(DEPLOY / "rsyslog" / file).read_text().replace("/var/log/miltscan", str(folder)) for file in files]
    conf = folder / "rsyslog.conf"
    conf.write_text("\n".join(settings))
    program = programs.find("rsyslogd")
    modules = next((program.parents[2] / "usr" / "lib").glob("*/rsyslog"))
    command: list[str | Path] = [program, "-n", "-M", modules, "-f", conf, "-i", folder / "pid"]
    checked = subprocess.run([*command, "-N1"], check=False, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr
    owner.start("rsyslogd", command, programs.environment(program)).wait_ready((folder / "log").exists, PATIENCE)


def arrived(folder: Path, log: Sequence[str]) -> bool:
    """Whether each file has exactly the lines that belong there, byte for byte."""
    expected = {
        "infected.log": chosen(log, event="message", outcome="infected"),
        "unscanned.log": chosen(log, event="message", outcome="unscanned error"),
        "warnings.log": chosen(log, event="engine_down"),
    }
    assert all(expected.values())
    files = {name: folder / name for name in expected}
    return expected == {name: file.exists() and file.read_text().splitlines() for name, file in files.items()}


def test_rsyslog_sorts_what_the_journal_hands_on(folder: Path, log: list[str]) -> None:
    """Rsyslog sorts our lines by outcome; lines of other programs, and what is not JSON, stay outside."""
    with Programs(folder) as owner, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        rsyslog(folder, owner, "30-miltscan.conf")
        sender.connect(str(folder / "log"))
        infected = chosen(log, outcome="infected")[0]
        for text in (f"other[7]: {infected}", "miltscan[7]: no JSON", *(f"miltscan[7]: {line}" for line in log)):
            sender.send(f"<30>Nov 22 17:00:00 {text}".encode())
        wait_until(lambda: arrived(folder, log), PATIENCE, "the lines in their files")


def test_rsyslog_reads_the_file_of_a_host_without_systemd(folder: Path, log: list[str]) -> None:
    """Rsyslog also reads the lines that come after logrotate has emptied the file in place."""
    source = folder / "miltscan.log"
    source.write_text("".join(f"{line}\n" for line in log))
    with Programs(folder) as owner:
        rsyslog(folder, owner, "30-miltscan.conf", "31-miltscan-file.conf")
        wait_until(lambda: arrived(folder, log), PATIENCE, "the lines in their files")
        down = chosen(log, event="engine_down")[0]
        source.write_text(f"{down}\n")  # truncates
        expected = [down, down]
        warnings = folder / "warnings.log"
        wait_until(lambda: warnings.read_text().splitlines() == expected, PATIENCE, "the line after the rotation")


# Fail2ban

FILTER = DEPLOY / "fail2ban" / "filter.d" / "miltscan.conf"
SYSLOG = "Nov 22 16:04:15 mx miltscan[123]: "
ISO = "2026-11-22T16:04:15.123456+01:00 mx miltscan[123]: "


def matched(folder: Path, lines: Sequence[str], *options: str) -> list[str]:
    """The address of each line that the filter matches."""
    file = folder / "some.log"
    file.write_text("".join(f"{line}\n" for line in lines))
    return run(programs.find("fail2ban-regex"), "-o", "<ip>", *options, file, FILTER).split()


@pytest.mark.parametrize("prefix", ["", SYSLOG, ISO])
def test_the_filter_matches_who_sent_a_virus(folder: Path, log: list[str], prefix: str) -> None:
    """The filter matches each refused virus of an outsider once, also behind syslog's prefix, and nothing else."""
    found = matched(folder, [prefix + line for line in log])
    assert found == [SENDER] * 3 + ["2001:4860:4860::8844"]


def test_the_filter_matches_a_line_of_the_journal(folder: Path, log: list[str]) -> None:
    """The filter matches where Fail2ban takes the time from the journal and leaves our own in the line."""
    lines = [f"1795363455 mx miltscan[123]: {line}" for line in log]
    assert matched(folder, lines, "-d", "^EPOCH ") == [SENDER] * 3 + ["2001:4860:4860::8844"]


def test_hostile_texts_are_in_the_log(log: list[str]) -> None:
    """The log has the hostile texts, with the address where an outsider's would stand; else the tests show nothing."""
    assert len([line for line in log if "1.2.3.4" in line and RELAY in line]) >= 20
    assert len([line for line in chosen(log, outcome="infected") if "1.2.3.4" in line]) >= 5


def test_no_text_can_stand_for_an_address(folder: Path, log: list[str]) -> None:
    """The banned address is that of the client, with any text in the fields of an infected message."""
    (line, *_) = chosen(log, outcome="infected", client_address=SENDER)
    fields = json.loads(line)
    lines = [
        json.dumps({**fields, name: [text, text] if name == "recipients" else text}, separators=(",", ":"))
        for name in ("queue_id", "message_id", "client_name", "sender", "recipients", "signature", "rule")
        for text in (FORGED, INJECTED, f"\\{INJECTED}", f'\\\\"{INJECTED}', f'{line}"', "\\")
    ]
    assert matched(folder, lines) == [SENDER] * len(lines)


def test_another_programs_line_bans_nobody(folder: Path, log: list[str]) -> None:
    """A line of another program bans no address, even if it quotes one of ours."""
    line = chosen(log, outcome="infected", client_address=SENDER)[0]
    quoting = ("sshd[1]: Invalid user miltscan[1]: ", "miltscan: ", "other miltscan[1]: x miltscan[1]: ", "a: ")
    assert matched(folder, [f"Nov 22 16:04:15 mx {program}{line}" for program in quoting]) == []


def jail(log_file: Path) -> str:
    """The jail as for a host without systemd: with the lines that are comments in the file."""
    text = (DEPLOY / "fail2ban" / "jail.d" / "miltscan.conf").read_text()
    text = text.replace("backend  = systemd\n", "").replace("# backend", "backend").replace("# logpath", "logpath")
    assert "\nlogpath = /var/log/miltscan/miltscan.log\n" in text
    return text.replace("/var/log/miltscan/miltscan.log", str(log_file))


def test_the_jail_bans_after_three_viruses(folder: Path, log: list[str]) -> None:
    """A real server bans an outsider after three viruses; a relay and an internal client stay unbanned."""
    conf = folder / "fail2ban"
    shutil.copytree(programs.data("/etc/fail2ban"), conf, ignore=shutil.ignore_patterns("jail.d"))
    (conf / "jail.d").mkdir()
    shutil.copy(FILTER, conf / "filter.d")
    source = folder / "miltscan.log"
    source.touch()
    (conf / "jail.d" / "miltscan.conf").write_text(f"{jail(source)}\naction = note\n")
    (conf / "action.d" / "note.conf").write_text(f"[Definition]\nactionban = echo <ip> >>{folder}/banned\n")
    (conf / "fail2ban.local").write_text(f"[Definition]\ndbfile = None\nlogtarget = {folder}/server.log\n")
    with Programs(folder) as owner:
        places: list[str | Path] = ["-c", conf, "-s", folder / "sock", "-p", folder / "pid"]
        server = owner.start("fail2ban", [programs.find("fail2ban-server"), "-f", *places, "start"])
        said = folder / "server.log"
        server.wait_ready(lambda: said.exists() and "Jail 'miltscan' started" in said.read_text(), PATIENCE)
        with source.open("a") as output:
            output.writelines(f"{line}\n" for line in log)
        banned = folder / "banned"
        wait_until(lambda: banned.exists() and banned.read_text(), PATIENCE, "a ban")
        wait_until(lambda: "Found 2001:4860:4860::8844" in said.read_text(), PATIENCE, "the end of the log")
        assert banned.read_text().split() == [SENDER]


# logcheck

RULES = DEPLOY / "logcheck" / "ignore.d.server" / "miltscan"


def mailed(lines: Sequence[str]) -> list[str]:
    """What logcheck would mail: the lines that no rule matches, found as logcheck does."""
    return run("grep", "-E", "--text", "-v", "-f", RULES, text="".join(f"{line}\n" for line in lines)).splitlines()


@pytest.mark.parametrize("prefix", ["", SYSLOG, ISO])
def test_logcheck_is_silent_about_normal_lines(log: list[str], prefix: str) -> None:
    """Lines of level warning or error are mailed, and nothing else."""
    expected = chosen(log, level="warning error")
    assert mailed([prefix + line for line in log]) == [prefix + line for line in expected]
    assert 2 <= len(expected) < len(log) / 2


def test_logcheck_is_silent_about_the_sandwich(sandwich: ScanningSandwich) -> None:
    """Delivered mail and a refused virus leave nothing to mail in either sendmail's log."""
    message_id = new_message_id()
    assert sandwich.send(text_message(message_id)).code == 250
    trace = sandwich.wait_for_trace(message_id)
    sandwich.syslog.wait_for(rf"{trace.delivery}: to=.*stat=Sent", PATIENCE)
    reply = sandwich.send(messages.as_wire(messages.infected()))
    refused = reply.text.rpartition("(")[2].rstrip(")")
    sandwich.syslog.wait_for(rf"{refused}: to=.*stat=Virus found", PATIENCE)
    ours = re.compile(rf"{trace.incoming}|{trace.delivery}|{refused}|starting daemon|did not issue")
    lines = [f"{line[:15]} mx{line[15:]}" for line in sandwich.syslog.lines() if ours.search(line)]
    assert len(lines) >= 9
    assert mailed(lines) == []


TO = "to=<a@example.org>, delay=00:00:01, xdelay=00:00:01, mailer=esmtp, pri=30134, relay=mx.example.net. [192.0.2.1]"


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("incoming", f"{TO}, dsn=4.4.1, stat=Deferred: Connection refused by [127.0.0.1]"),
        ("delivery", f"{TO}, dsn=5.1.1, stat=User unknown"),
        ("delivery", f"{TO.replace('<a@', '<a,stat=Sent@')}, dsn=5.1.1, stat=User unknown"),
        ("delivery", f"{TO.replace('<a@', '<a, dsn=2.0.0, stat=Sent (@')}, dsn=5.1.1, stat=no (really)"),
        ("incoming", "Milter (miltscan): to error state"),
        ("incoming", "Milter: initialization failed, temp failing commands"),
        ("incoming", "Milter (miltscan) insert (0): header: Subject:  changed"),
        ("incoming", "Milter: data, reject=451 4.7.1 Message not scanned: no engine is available, try again later"),
        ("incoming", "SYSERR(root): collect: Cannot write ./df6AMG4FAU001849 (bfcommit, uid=0, gid=0): No space left"),
        ("sshd", "from=<a@example.org>, size=1, class=0, nrcpts=1, relay=localhost [127.0.0.1]"),
    ],
)
def test_logcheck_mails_what_is_wrong(program: str, text: str) -> None:
    """Lines about faults are mailed, also where a hostile address pretends that all is well."""
    line = f"Nov 22 16:04:15 mx {program}[1849]: 6AMG4FAU001849: {text}"
    assert mailed([line]) == [line]


@pytest.mark.parametrize(
    "end", ["Milter: data, reject=550 5.7.1 {}", "to=<miltscan-probe@localhost>, delay=0, pri=1, stat={}"]
)
def test_logcheck_is_silent_about_probes_that_go_well(end: str) -> None:
    """Probes that were scanned are not mailed, and those that were not scanned are."""
    mac = "0f" * 32
    texts = (
        f"Probe: clean, policy says accept [probe o=clean a=accept m={mac}]",
        f"Virus found: Eicar (6AMG4FAU001849) [probe o=infected a=reject m={mac}]",
        f"Probe: unscanned, policy says accept [probe o=unscanned a=accept m={mac}]",
    )
    lines = [f"Nov 22 16:04:15 mx incoming[1849]: 6AMG4FAU001849: {end.format(text)}" for text in texts]
    assert mailed(lines) == lines[2:]


def test_each_logcheck_rule_is_one(log: list[str]) -> None:
    """No rule is empty, because an empty rule would match every line."""
    assert all(line.startswith("^") for line in RULES.read_text().splitlines())
    assert mailed(["unknown", log[0][1:]]) == ["unknown", log[0][1:]]


# Vector


def test_vector_uses_fields_that_are_there() -> None:
    """The file is TOML, its parts refer to each other, and each field that it takes from a line is documented."""
    conf = tomllib.loads((DEPLOY / "vector" / "miltscan.toml").read_text())
    (transform,) = conf["transforms"].values()
    (sink,) = conf["sinks"].values()
    assert transform["inputs"] == [*conf["sources"]]
    assert sink["inputs"] == [*conf["transforms"]]
    known = {field.name for event in log_events.EVENTS for field in (*log_events.EVERY_LINE, *event.fields)}
    taken = set(re.findall(r"\bline\.(\w+)", transform["source"]))
    assert taken
    assert taken <= known
    templates = "".join([*sink["labels"].values(), *sink["structured_metadata"].values()])
    made = re.findall(r"^\.(\w+) =", transform["source"], re.MULTILINE)
    assert set(re.findall(r"\{\{ (\w+) \}\}", templates)) <= set(made)
