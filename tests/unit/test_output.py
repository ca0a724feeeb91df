"""Every command with each way in which its output may fail, and with hostile text: one line, a status, no escape.

The commands and their flags come from the program itself, so that a new one is tested without a change here, once it
has arguments in ARGUMENTS.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from miltscan.cli import whole_program
from miltscan.core.verdict import Outcome
from miltscan.quarantine.files import Files
from tests.fakes.entries import put

GOLDEN = Path(__file__).parents[1] / "corpus" / "logs"
HOSTILE = "\x1b[2J\x9b31m\u202e\x7f"
ARGUMENTS = {
    "run": ["--config", "FOLDER/no-socket.toml"],
    "setup": ["--config", "FOLDER/miltscan.toml", "--files", "FOLDER/absent"],
    "status": ["--config", "FOLDER/no-exporter.toml"],
    "check": ["--config", "FOLDER/miltscan.toml"],
    "doctor": ["--config", "FOLDER/miltscan.toml", "--incoming", "FOLDER/absent.cf", "--delivery", "FOLDER/absent.cf"],
    "probe": ["--config", "FOLDER/miltscan.toml"],
    "scan": ["--config", "FOLDER/miltscan.toml", "FOLDER/message.eml"],
    "trace": ["--log", str(GOLDEN / "mail.log"), "6AMG9F89004499"],
    "config": ["--config", "FOLDER/miltscan.toml"],
    "import": ["FOLDER/clamav-milter.conf"],
    "hold list": ["--cf", "FOLDER/incoming.cf"],
    "hold release": [
        "--cf",
        "FOLDER/incoming.cf",
        f"absent{HOSTILE}",
    ],  # tests/unit/commands/test_hold.py has another one
    "hold delete": ["--cf", "FOLDER/incoming.cf", "6AT"],
    "quarantine list": ["--config", "FOLDER/miltscan.toml"],
    "quarantine search": ["--config", "FOLDER/miltscan.toml", "hello"],
    "quarantine show": ["--config", "FOLDER/miltscan.toml", "0"],
    "quarantine release": ["--config", "FOLDER/miltscan.toml", "--reason", "x", "--to", "a@b", "0"],
    "quarantine download": ["--config", "FOLDER/miltscan.toml", "--output", "-", "0"],
    "quarantine delete": ["--config", "FOLDER/miltscan.toml", "--yes", "zz"],
    "quarantine rescan": ["--config", "FOLDER/miltscan.toml", "0"],
    "quarantine expire": ["--config", "FOLDER/miltscan.toml"],
    "quarantine check": ["--config", "FOLDER/miltscan.toml"],
    "quarantine stats": ["--config", "FOLDER/miltscan.toml"],
    "allow": ["--config", "FOLDER/miltscan.toml", "--reason", "r", "Win.Test.X"],
    "deny": ["--config", "FOLDER/miltscan.toml", "--reason", "r", "@example.org"],
    "lists": ["--config", "FOLDER/miltscan.toml"],
    "lists remove": ["--config", "FOLDER/miltscan.toml", "--reason", "r", "0"],
    "policy check": ["--config", "FOLDER/rules.toml"],
    "policy show": ["--config", "FOLDER/rules.toml"],
    "policy replay": ["--policy", "FOLDER/rules.toml", "--log", str(GOLDEN / "mail.log"), "--no-quarantine"],
    "policy explain": ["--config", "FOLDER/rules.toml", "--log", str(GOLDEN / "mail.log")],
    "keys new": ["--config", "FOLDER/miltscan.toml", "--id", "new"],
}
"""Arguments with which each command prints something."""
STREAMS = ("full", "broken pipe", "closed")
FORKS = r"""
import gc, json, os, sys
import miltscan.quarantine.store  # commands import it when they need it
from miltscan.cli import run_cli

def connect(descriptor, stream):
    # In the child: a descriptor that fails in the named way, or goes to the named file.
    if stream == "closed":
        os.close(descriptor)
        setattr(sys, ("stdin", "stdout", "stderr")[descriptor], None)
        return
    if stream == "broken pipe":
        reader, target = os.pipe()
        os.close(reader)
    else:
        target = os.open("/dev/full" if stream == "full" else stream, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    os.dup2(target, descriptor)
    os.close(target)

def run(case):
    connect(0, case["stdin"])
    sys.stdin = open(0, closefd=False)
    connect(1, case["stdout"])
    connect(2, case["stderr"])
    sys.argv = ["miltscan", *case["arguments"]]
    run_cli()

def ended(case):
    # The status of a case whose process goes on; its streams are flushed as at the end of the interpreter.
    try:
        run(case)
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        return end.code

answers = os.dup(1)
gc.freeze()  # or the end of each fork copies every page
for line in sys.stdin:
    cases = json.loads(line)
    child = os.fork()
    if child == 0:
        before = [ended(case) for case in cases[:-1]]
        os.write(answers, json.dumps(before).encode() + b"\n")
        run(cases[-1])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Runs the cases of each line of standard input in a fork, the last one to the end of the interpreter.

An interpreter for each would take half a second, and the end of a fork takes most of its time.
"""


class Case(NamedTuple):
    """A command line, and a file for each of its streams, or for an output a way to fail."""

    arguments: list[str]
    stdout: str
    stderr: str
    stdin: str = os.devnull


class Program:
    """Runs the program in forks of one process; the text of a stream that does not fail is in a file."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.out, self.err = folder / "out", folder / "err"
        environment = {**os.environ, "HOME": str(folder), "COLUMNS": "80", **environment}
        command = [sys.executable, "-c", FORKS]
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self, arguments: list[str], stdout: str = "", stderr: str = "", stdin: str = os.devnull
    ) -> tuple[int, str, str]:
        """Run it; returns the status and what arrived on both streams."""
        (result,) = self.run_all([arguments], stdout, stderr, stdin)
        return result

    def run_all(
        self, commands: list[list[str]], stdout: str = "", stderr: str = "", stdin: str = os.devnull
    ) -> list[tuple[int, str, str]]:
        """Run them one after the other in one process; the same for each."""
        files = [[one.with_suffix(f".{number}") for one in (self.out, self.err)] for number, _ in enumerate(commands)]
        for out, err in files:
            out.write_text("")
            err.write_text("")
        statuses = self._run(
            Case(one, stdout or str(out), stderr or str(err), stdin)
            for one, (out, err) in zip(commands, files, strict=True)
        )
        return [(status, out.read_text(), err.read_text()) for status, (out, err) in zip(statuses, files, strict=True)]

    def _run(self, cases: Iterator[Case]) -> list[int]:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([case._asdict() for case in cases]) + "\n")
        self._process.stdin.flush()
        return [*json.loads(self._process.stdout.readline()), int(self._process.stdout.readline())]

    def end(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - typer's own type has moved between its versions
    """Each command that does something itself, by its full name."""
    for part, inner in getattr(command, "commands", {"": command}).items():
        path = f"{name} {part}".strip()
        if not hasattr(inner, "commands") or inner.invoke_without_command:
            yield path, inner
        if hasattr(inner, "commands"):
            yield from leaves(inner, path)


COMMANDS = dict(leaves(whole_program()))


def flags(name: str) -> list[str]:
    """The flags of a command, each by its longest name."""
    return [max(one.opts, key=len) for one in COMMANDS[name].params if getattr(one, "is_flag", False)]


def invocations(folder: Path) -> list[list[str]]:
    """Each help, the version, and each command without a flag and with each one."""
    found = [["--version"], *([*group, one] for group in ([], ["keys"], ["quarantine"]) for one in ("--help", "-h"))]
    for name, arguments in ARGUMENTS.items():
        given = [one.replace("FOLDER", str(folder)) for one in arguments]
        found += [[*name.split(), one] for one in ("--help", "-h")]
        found += [[*name.split(), *flag, *given] for flag in ([], *([one] for one in flags(name)))]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that ARGUMENTS name."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "keys").write_text(f"first {'5a' * 32}\n")
    (folder / "keys").chmod(0o600)
    engine = f'[clamd]\nservers = ["unix:{folder}/absent.ctl"]\n'
    spool = f'[spool]\ndirectory = "{folder}"\n[lists]\nfile = "{folder}/lists.jsonl"\n[keys]\nfile = "{folder}/keys"\n'
    closed = '[probe]\nserver = "inet:1@127.0.0.1"\ntimeout = "5s"\n'
    closed += f'[delivery]\nserver = "inet:1@127.0.0.1"\n[quarantine]\ndirectory = "{folder}/quarantine"\n'
    put(Files(folder / "quarantine"), time=time.time(), outcome=Outcome.CLEAN, signature=None)
    (folder / "miltscan.toml").write_text(engine + spool + closed)
    rule = '[[rule]]\nname = "r"\nwhen = { sender = "@a.example" }\naction = "reject"\n'
    (folder / "rules.toml").write_text(spool + rule)
    (folder / "no-socket.toml").write_text(f'{engine}{spool}[milter]\nsocket = "unix:{folder}/absent/socket"\n')
    (folder / "no-exporter.toml").write_text('[exporter]\nlisten = "127.0.0.1:1"\n')
    (folder / "message.eml").write_text("Subject: a\n\nb\n")
    (folder / "clamav-milter.conf").write_text("MilterSocket /run/clamav/clamav-milter.ctl\n")
    (folder / "incoming.cf").write_text(f"O QueueDirectory={folder}/mqueue\n")
    (folder / "mqueue").mkdir()
    for kind in ("hf", "df"):
        (folder / "mqueue" / f"{kind}6AT0tl1r006553").write_text(f"q{HOSTILE}\nS<{HOSTILE}>\nRPFD:<{HOSTILE}>\n")
    return folder


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One process for all cases."""
    program = Program(tmp_path_factory.mktemp("streams"))
    yield program
    program.end()


def test_every_command_has_arguments_here() -> None:
    """A command that is added is tested, too."""
    assert ARGUMENTS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("stream", STREAMS)
def test_standard_output_that_fails_is_one_line(stream: str, program: Program, folder: Path) -> None:
    """A full disk, a pipe whose reader has gone (`| head -1`) and a closed descriptor have no traceback."""
    commands = [one for one in invocations(folder) if stream == STREAMS[0] or not {"-h", "--json", "--schema"} & {*one}]
    results = program.run_all(commands, stdout=stream)
    if stream == STREAMS[0]:  # and to the end of the interpreter
        plain = [[*name.split(), *ARGUMENTS[name]] for name in COMMANDS]
        commands, results = commands + plain, results + [program.run(one, stdout=stream) for one in plain]
    assert [
        (one, status, text)
        for one, (status, _, text) in zip(commands, results, strict=True)
        if status not in {1, 2} or len(text.splitlines()) != 1 or "Traceback" in text
    ] == []


def test_findings_fit_a_terminal(program: Program, folder: Path) -> None:
    """Texts are wrapped at 80 columns, a remedy is one line to copy, levels have colours; no other code is written."""
    master, terminal = os.openpty()
    arguments = ["doctor", *(one.replace("FOLDER", str(folder)) for one in ARGUMENTS["doctor"])]
    try:
        program.run(arguments, stdout=os.ttyname(terminal))
        os.write(terminal, b"end")
        written = b""
        while not written.endswith(b"end"):
            written += os.read(master, 65536)
    finally:
        os.close(master)
        os.close(terminal)
    codes = set(re.findall(r"\x1b\[\d*m", written.decode()))
    text = re.sub(r"\x1b\[\d*m", "", written.decode().replace("\r\n", "\n"))
    assert {"\x1b[0m", "\x1b[1m", "\x1b[31m"} <= codes
    assert "\x1b" not in text
    lines = text.splitlines()
    assert any(line.startswith("            -> ") for line in lines)
    assert [line for line in lines if len(line) > 80 and "->" not in line and " " in line.strip()[:60]] == []


@pytest.mark.parametrize("stream", STREAMS)
def test_standard_error_that_fails_changes_no_status(stream: str, program: Program, folder: Path) -> None:
    """The status of a mistake, of an error and of success is that of a program whose standard error works."""
    named = [[*name.split(), "--no-such-option"] for name in (COMMANDS if stream == STREAMS[0] else ["scan"])]
    named += [["config", "--config", f"{folder}/absent"], ["run", "--config", f"{folder}/no-socket.toml"]]
    named += [["trace", "--log", f"{folder}/absent", *ARGUMENTS["trace"]]]
    expected, found = program.run_all(named), program.run_all(named, stderr=stream)
    seen = {" ".join(one): (this[0], that[0]) for one, this, that in zip(named, expected, found, strict=True)}
    assert {name: status for name, status in seen.items() if status[0] != status[1]} == {}
    assert [name for name, (status, _) in seen.items() if not status] == [" ".join(named[-1])]


def test_both_streams_may_fail(program: Program) -> None:
    """A program without any output still ends with a status of its own."""
    helps = [[*name.split(), "--help"] for name in COMMANDS]
    assert {status for status, _, _ in program.run_all(helps, "full", "full")} <= {1, 2}


def test_no_argument_controls_the_terminal(program: Program, folder: Path) -> None:
    """Both streams show unprintable characters of a path or a value as escapes."""
    unknown = [[*name.split(), f"--{HOSTILE}"] for name in COMMANDS]
    commands = []
    for name, command in COMMANDS.items():
        given = [one.replace("FOLDER", str(folder)) for one in ARGUMENTS[name]]
        values = [param for param in command.params if not getattr(param, "is_flag", False)]
        options = [[max(one.opts, key=len)] if one.opts[0].startswith("-") else [] for one in values]
        commands += [[*name.split(), *given, *option, f"{folder}/{HOSTILE}"] for option in options]
    results = [*zip(commands + unknown, program.run_all(commands + unknown), strict=True)]
    assert [(one, text) for one, text in results if set("\x1b\x9b\u202e\x7f") & set(text[1] + text[2])] == []
    assert [one for one, text in results if one in unknown and not text[2]] == []


def test_no_file_controls_the_terminal(program: Program, folder: Path) -> None:
    """Configuration, .cf files, logs and messages are shown with escapes; JSON and TOML stay valid."""
    cf = folder / "hostile.cf"
    cf.write_text(
        f"O DaemonPortOptions=Name={HOSTILE}, Port=1\nXfilter{HOSTILE}, S=unix:/{HOSTILE}\nO PidFile=/{HOSTILE}\n"
    )
    toml = folder / "hostile.toml"
    escaped = "\\u001b[2J\\u009b31m\\u202e\\u007f"
    toml.write_text(f'[spool]\ndirectory = "/{escaped}"\n[clamd]\nservers = ["unix:/{escaped}"]\n')
    line = f"Nov 22 16:04:15 mx sm-mta[1]: 6AMG4FAU001849: to=<{HOSTILE}@example.org>, stat=Sent\n"
    log = folder / "hostile.log"
    log.write_text(line)
    conf = folder / "clamav-milter.conf.hostile"
    conf.write_text(f"MilterSocket /{HOSTILE}\nAddHeader {HOSTILE}\n")
    store = folder / "hostile-quarantine.toml"
    store.write_text(f'spool.directory = "{folder}"\nquarantine.directory = "{folder}/hostile"\n')
    data = HOSTILE.encode()
    known: dict[str, Any] = {
        "subject": HOSTILE,
        "author": HOSTILE,
        "signature": HOSTILE,
        "client_name": HOSTILE,
        "area": HOSTILE,
    }
    put(Files(folder / "hostile"), data, sender=data, recipients=(data,), message_id=data, queue_id=HOSTILE, **known)
    kept = ["--config", str(store)]
    for arguments in (
        ["check", "--config", str(toml)],
        ["doctor", "--config", str(toml), "--incoming", str(cf), "--delivery", str(cf)],
        ["config", "--config", str(toml)],
        ["config", "--json", "--config", str(toml)],
        ["trace", "--log", str(log), "6AMG4FAU001849"],
        ["trace", "--json", "--log", str(log), "6AMG4FAU001849"],
        ["trace", "--explain", line],
        ["import", "--format", "clamav-milter", str(conf)],
        *(["quarantine", *one.split(), *kept] for one in ("list", "list --json", "show 0", "show --json 0", "stats")),
        ["quarantine", "release", "0", "--infected", "--reason", HOSTILE, *kept],
    ):
        _, out, error = program.run(arguments)
        assert not set("\x1b\x9b\u202e\x7f") & set(out + error), arguments
        assert "Traceback" not in error
    assert (
        json.loads(program.run(["config", "--json", "--config", str(toml)])[1])["spool"]["directory"] == f"/{HOSTILE}"
    )
