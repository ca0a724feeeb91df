"""The commands: arguments, output, exit status. What they call is tested elsewhere."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from miltscan import __version__
from miltscan.cli import app
from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.config.tables import ProbeSettings as Options
from miltscan.core.finding import Finding, Level, ok
from miltscan.core.keys import Key
from miltscan.core.probe import ProbeKind
from miltscan.core.verdict import Verdict
from miltscan.doctor.steps import DoctorOptions, Step
from miltscan.errors import StartError
from miltscan.scanning.probe_run import Result as ProbeResult
from tests.fakes.engine import ScriptedEngine
from tests.fakes.runner import CliRunner


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A valid file whose spool is a temporary folder."""
    file = tmp_path / "miltscan.toml"
    file.write_text(f'[spool]\ndirectory = "{tmp_path}"\n')
    return file


def miltscan(*arguments: str | Path, given: bytes = b"") -> Result:
    """A run of the program within this process."""
    return CliRunner().invoke(app, [str(one) for one in arguments], input=given, prog_name="miltscan")


def test_the_version() -> None:
    """The version is printed as one line."""
    result = miltscan("--version")
    assert (result.exit_code, result.stdout) == (0, f"miltscan {__version__}\n")


def test_the_service_does_not_import_the_index() -> None:
    """SQLAlchemy would take 15 MiB in each worker, which never uses it."""
    code = (
        "import sys, miltscan.commands.service; print([name for name in sys.modules if name.startswith('sqlalchemy')])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE).stdout == b"[]\n"


def test_a_command_imports_no_other() -> None:
    """Each start would take longer, and so would each completion in a shell."""
    code = (
        "import sys; from miltscan.cli import app\n"
        "try: app(['keys', 'new', '--help'])\n"
        "finally: print(*sorted(name for name in sys.modules if name.startswith('miltscan.commands.')))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "miltscan.commands.files" in printed
    assert not {"miltscan.commands.service", "miltscan.commands.trace"} & {*printed.split()}


@pytest.mark.parametrize("command", ["run", "setup", "status", "check", "doctor", "probe", "scan", "trace", "config"])
def test_each_command_has_help_with_examples(command: str) -> None:
    """Each example is on its own line."""
    result = miltscan(command, "--help")
    assert result.exit_code == 0
    assert f"\n  Examples:\n    miltscan {command}" in result.stdout


def test_help_lists_commands_and_an_example() -> None:
    """The help stands for itself, and comes where no command is given."""
    result = miltscan("--help")
    assert all(
        word in result.stdout
        for word in ("run ", "check ", "doctor ", "probe ", "scan ", "trace ", "config ", "Example: miltscan check")
    )


@pytest.mark.parametrize("command", [["run"], ["status"], ["check"], ["doctor"], ["probe"], ["scan", "f"], ["config"]])
def test_a_wrong_configuration_is_lines_and_status_2(command: list[str], tmp_path: Path) -> None:
    """Every mistake on standard error, no traceback."""
    file = tmp_path / "f.toml"
    file.write_text("colour = 1\n[milter]\nworker = 1\n")
    result = miltscan(*command, "--config", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sorted(result.stderr.splitlines()) == [
        f"{file}: colour: unknown key",
        f"{file}: milter.worker: unknown key; did you mean milter.workers?",
    ]


def test_an_absent_named_file_is_status_2(tmp_path: Path) -> None:
    """A named file that does not exist is one line and status 2."""
    result = miltscan("config", "--config", tmp_path / "absent")
    assert (result.exit_code, result.stderr) == (2, f"{tmp_path}/absent: cannot be read: no such file\n")


def test_config_prints_what_is_in_effect(config: Path) -> None:
    """What it prints means what it has read."""
    result = miltscan("config", "--config", config)
    assert result.exit_code == 0
    assert parse_settings(result.stdout.encode(), "f") == parse_settings(config.read_bytes(), "f")


def test_config_prints_json(config: Path) -> None:
    """The option --json prints the keys and values of the file."""
    result = miltscan("config", "--json", "--config", config)
    printed = json.loads(result.stdout)
    assert (printed["spool"]["directory"], printed["limits"]["scan_timeout"]) == (str(config.parent), "60s")
    assert Settings.model_validate(printed) == parse_settings(config.read_bytes(), "f")


def test_config_prints_the_schema(tmp_path: Path) -> None:
    """The option --schema needs no valid configuration."""
    result = miltscan("config", "--schema", "--config", tmp_path / "absent")
    assert json.loads(result.stdout)["properties"].keys() == Settings.model_fields.keys()


def serve_that(outcome: int | BaseException, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Path | None]]:
    """Replace the service by one that ends with `outcome`; returns the list of its calls."""
    calls = []

    def serve(settings: Settings, path: Path | None, _shadow: Path | None) -> int:
        calls.append((settings, path))
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr("miltscan.commands.service.run_service", serve)
    return calls


@pytest.mark.parametrize("status", [0, 3])
def test_run_ends_with_the_status_of_the_service(status: int, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service gets settings and path."""
    calls = serve_that(status, monkeypatch)
    assert miltscan("run", "--config", config).exit_code == status
    assert calls == [(parse_settings(config.read_bytes(), "f"), config)]


def test_a_service_that_cannot_start_says_why(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and status 1."""
    serve_that(StartError("socket in use"), monkeypatch)
    result = miltscan("run", "--config", config)
    assert (result.exit_code, result.stderr) == (1, "socket in use\n")


def test_an_interrupted_start_ends_without_a_traceback(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the service handles signals ends it with the status that a shell reports."""
    serve_that(KeyboardInterrupt(), monkeypatch)
    result = miltscan("run", "--config", config)
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "")


def test_without_a_file_run_uses_the_default_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without --config the service gets the default settings and no path."""
    monkeypatch.setattr("miltscan.config.load.DEFAULT_PATH", tmp_path / "absent.toml")
    calls = serve_that(3, monkeypatch)
    assert (miltscan("run").exit_code, calls) == (3, [(Settings(), None)])


@pytest.mark.parametrize(("level", "status"), [(Level.OK, 0), (Level.WARNING, 0), (Level.ERROR, 1)])
def test_check_fails_only_for_errors(level: Level, status: int, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line per finding."""

    def findings(_settings: Settings, configuration: Path) -> Iterator[Finding]:
        assert configuration == config
        yield Finding(level, "a", "b", "c")
        yield ok("d", "e")

    monkeypatch.setattr("miltscan.commands.service.check_findings", findings)
    result = miltscan("check", "--config", config)
    read = f"ok       configuration: {config}\n"
    assert (result.exit_code, result.stdout) == (status, f"{read}{level:7}  a: b; c\nok       d: e\n")


def step(level: Level) -> Step:
    """A step with one finding of this level."""
    return Step("one step", (Finding(level, "a", "b", "c"),))


@pytest.mark.parametrize("level", Level)
def test_doctor_prints_steps_and_ends_with_the_worst(
    level: Level, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status is 0 only without a warning or an error."""
    monkeypatch.setattr("miltscan.commands.sandwich.examine", lambda *_: iter([step(level)]))
    result = miltscan("doctor", "--config", config)
    counts = f"errors: {int(level is Level.ERROR)}, warnings: {int(level is Level.WARNING)}"
    end = f"To repair, in this order:\n 1. {level:7}  a: b; c\n{counts}"
    if level is Level.OK:
        end = "everything is ok"
    assert result.stdout == f"1. one step\n   {level:7}  a: b; c\n{end}\n"
    assert result.exit_code == int(level is not Level.OK)


CAUSE = Finding(Level.ERROR, "port 25", "closed", "start it").named("down")
EFFECT = Finding(Level.ERROR, "greeting", "none", "wait").because("other", "down")
HOST = Finding(Level.WARNING, "host", "small", "grow")
STEPS = (
    Step("incoming", (EFFECT, CAUSE, EFFECT, ok("pid file", "is there")), rank=2),
    Step("mail", (EFFECT,), rank=3),
    Step("host", (HOST,), rank=1),
)


def test_doctor_shows_causes_only_and_the_order_of_repair(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor omits an effect if its cause is shown above, and in the list, which has the order of the parts."""
    monkeypatch.setattr("miltscan.commands.sandwich.examine", lambda *_: iter(STEPS))
    repairs = [
        " 1. warning  host: small; grow",
        " 2. error    port 25: closed; start it (3 other findings follow from this)",
        "errors: 1, warnings: 1",
    ]
    whole = [
        "1. incoming",
        "   error    greeting: none; wait",
        "   error    port 25: closed; start it",
        "   ok       pid file: is there",
        "2. mail",
        "   each finding here follows from one above",
        "3. host",
        "   warning  host: small; grow",
        "To repair, in this order:",
    ]
    assert miltscan("doctor", "--config", config).stdout.splitlines() == [*whole, *repairs]
    only = miltscan("doctor", "--problems", "--config", config)
    assert (only.exit_code, only.stdout.splitlines()) == (1, repairs)


def test_an_effect_in_json_has_its_cause_and_the_remedy_of_that(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program can select the faults that stand for themselves by `repair`, their place in the order."""
    monkeypatch.setattr("miltscan.commands.sandwich.examine", lambda *_: iter(STEPS))
    found = json.loads(miltscan("doctor", "--json", "--problems", "--config", config).stdout)["findings"]
    facts = [(one["subject"], one["remedy"], one["repair"], one["follows_from"]) for one in found]
    effect = ("greeting", "start it", None, "port 25")
    assert facts == [effect, ("port 25", "start it", 2, None), effect, effect, ("host", "grow", 1, None)]


@pytest.mark.parametrize("level", Level)
def test_doctor_prints_json(level: Level, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is one object, and the status is the same."""
    monkeypatch.setattr("miltscan.commands.sandwich.examine", lambda *_: iter([step(level)]))
    result = miltscan("doctor", "--json", "--config", config)
    place = None if level is Level.OK else 1
    finding = {"step": "one step", "level": level, "subject": "a", "text": "b", "remedy": "c", "repair": place}
    finding["follows_from"] = None
    assert json.loads(result.stdout) == {"well": level is Level.OK, "findings": [finding]}
    assert result.exit_code == int(level is not Level.OK)


def test_the_options_of_doctor(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor gets both files, and a recipient only with --send."""
    given: list[DoctorOptions] = []

    def examine(_: Settings, options: DoctorOptions) -> Iterator[Step]:
        given.append(options)
        return iter(())

    monkeypatch.setattr("miltscan.commands.sandwich.examine", examine)
    miltscan("doctor", "--config", config, "--incoming", "/i", "--delivery", "/d", "--to", "a@example.org")
    miltscan("doctor", "--config", config, "--incoming", "/i", "--send", "--log", "/l")
    places = [(str(one.incoming), str(one.delivery), one.recipient, one.log and str(one.log)) for one in given]
    assert places == [("/i", "/d", None, None), ("/i", "/etc/mail/delivery.cf", "postmaster", "/l")]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that calls everything clean."""
    engine = ScriptedEngine(Verdict.clean("clamd"), name="clamd")
    monkeypatch.setattr("miltscan.scanning.assemble_engines.engine_for", lambda *_: engine)


@pytest.mark.usefixtures("engine")
def test_scan_reads_files_and_standard_input(config: Path) -> None:
    """Each file, and standard input, has its own line."""
    result = miltscan("scan", "--config", config, config, "-", given=b"Subject: a\n\nb")
    assert (result.exit_code, result.stdout) == (0, f"{config}: clean; accept\n-: clean; accept\n")


@pytest.mark.usefixtures("engine")
def test_scan_prints_json(config: Path) -> None:
    """An object per file."""
    result = miltscan("scan", "--json", "--config", config, config, config)
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["outcome"] for one in objects] == ["clean", "clean"]


@pytest.mark.usefixtures("engine")
def test_a_file_that_cannot_be_read_is_one_line_and_status_2(config: Path, tmp_path: Path) -> None:
    """The others are scanned all the same; its name cannot harm a terminal."""
    result = miltscan("scan", "--config", config, tmp_path / "\x1b[2J", config)
    assert (result.exit_code, result.stdout) == (2, f"{config}: clean; accept\n")
    assert result.stderr == f"{tmp_path}/\\x1b[2J: cannot be read: No such file or directory\n"


@pytest.mark.usefixtures("engine")
def test_a_spool_that_cannot_take_a_message_is_one_line_and_status_2(tmp_path: Path) -> None:
    """A folder that is not there, and a message too large for memory."""
    file = tmp_path / "f.toml"
    file.write_text(f'[spool]\nmemory = 0\ndirectory = "{tmp_path}/absent"\n')
    result = miltscan("scan", "--config", file, file)
    assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


GOLDEN = Path(__file__).parents[1] / "corpus" / "logs"


def test_trace_names_what_it_could_not_read(tmp_path: Path) -> None:
    """Trace names lines in an unknown form and files that it did not read before it reports a message as absent."""
    (tmp_path / "maillog").write_text("at teatime mx wrote 6AMG00aa000001: to=<\x1b[2Ja@b>\n" * 2)
    (tmp_path / "maillog.bak").write_text("6AMG00aa000001: to=<a@b>, dsn=2.0.0, stat=Sent\n")
    result = miltscan("trace", "--log", tmp_path / "maillog", "6AMG00aa000001")
    assert (result.exit_code, result.stdout) == (1, "")
    passed_over, absent = result.stderr.splitlines()
    assert passed_over == f"{tmp_path}/maillog.bak: not read: not the name of a rotated log. To read it, use --log."
    unknown = "2 lines name it in a form that trace does not know, such as: at teatime mx wrote 6AMG00aa000001: to="
    assert absent == f"6AMG00aa000001: not found in {tmp_path}/maillog; {unknown}<\\x1b[2Ja@b>"


def test_trace_names_lines_that_it_could_not_read_next_to_others(tmp_path: Path) -> None:
    """A message that is found may have more lines than are shown."""
    line = "6AMG00aa000001: to=<a@b>, dsn=2.0.0, stat=Sent\n"
    (tmp_path / "maillog").write_text(f"{line}at teatime {line}")
    result = miltscan("trace", "--log", tmp_path / "maillog", "6AMG00aa000001")
    assert result.exit_code == 0
    assert result.stdout.startswith("Message (no Message-ID in these logs): delivered\n")
    assert "1 line names it in a form that trace does not know, such as: at teatime" in result.stderr


def test_trace_prints_text_or_json() -> None:
    """What is found: text by default, an object a message with --json; a Message-ID may name several."""
    logs = ("--log", GOLDEN / "mail.log", "--log", GOLDEN / "miltscan.log")
    text, line = (miltscan("trace", *more, *logs, "6AMG9F89004499") for more in ((), ("--json",)))
    assert (text.exit_code, line.exit_code) == (0, 0)
    assert text.stdout.startswith("Message <4322770c76be4097badf2909be051129@example.org>: delivered\n")
    assert json.loads(line.stdout)["queue_ids"] == ["6AMG9F89004499", "6AMG9FSt004502"]


def test_trace_of_what_is_not_there_is_status_1(tmp_path: Path) -> None:
    """One line names the logs that were read, and one the file that cannot be read."""
    result = miltscan("trace", "--log", GOLDEN / "mail.log", "--log", tmp_path / "\x1b", "\x1b[2J")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        f"{tmp_path}/\\x1b: cannot be read: No such file or directory",
        f"\\x1b[2J: not found in {GOLDEN}/mail.log",
    ]
    result = miltscan("trace", "--log", tmp_path / "absent", "6AMG00aa000001")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1:] == ["6AMG00aa000001: not found in any log: none could be read"]


def test_files_that_this_user_may_not_read_are_left_to_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command names the user and the remedy, which the check of the option parser does not."""
    (tmp_path / "miltscan.toml").write_text("")
    (tmp_path / "maillog").write_text("6AMG00aa000001: to=<a@b>, dsn=2.0.0, stat=Sent\n")
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    assert miltscan("config", "--config", tmp_path / "miltscan.toml").exit_code == 0
    assert miltscan("trace", "--log", tmp_path / "maillog", "6AMG00aa000001").exit_code == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_trace_shows_a_bar_on_a_terminal(*, terminal: bool) -> None:
    """On standard error, while much is read; where that is no terminal nothing is written there."""
    code = "from miltscan import cli; from miltscan.commands import trace; trace._LONG = 1; cli.run_cli()"
    command = [sys.executable, "-c", code, "trace", "--log", str(GOLDEN / "mail.log"), "6AMG9F89004499"]
    reader, writer = os.openpty() if terminal else os.pipe()
    try:
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=writer)
        os.write(writer, b"end\n")
        written = os.read(reader, 65536)
    finally:
        os.close(reader)
        os.close(writer)
    assert result.stdout.startswith(b"Message ")
    assert (b"Reading the logs" in written) is terminal


def test_explain_prints_each_field() -> None:
    """Of a line given as argument or on standard input, as text or as JSON."""
    line = "Nov 22 16:04:15 mx sm-mta[1849]: 6AMG4FAU001849: to=<a@example.org>, dsn=4.4.1, stat=Deferred\x1b"
    text, read = miltscan("trace", "--explain", line), miltscan("trace", "--explain", "-", given=f"{line}\n".encode())
    assert (text.exit_code, text.stdout) == (0, read.stdout)
    assert "dsn       4.4.1\n            status code of RFC 3463: deferred" in text.stdout
    fields = json.loads(miltscan("trace", "--json", "--explain", line).stdout)
    assert fields["stat"]["value"] == "Deferred\\x1b"


@pytest.mark.parametrize("arguments", [[], ["6AMG4FAU001849", "--explain", "line"]])
def test_trace_wants_a_message_or_a_line(arguments: list[str]) -> None:
    """Neither or both is a mistake of usage."""
    assert miltscan("trace", *arguments).exit_code == 2


@pytest.mark.parametrize(("well", "status"), [(True, 0), (False, 1)])
def test_a_probe_ends_with_what_it_found(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, well: bool, status: int
) -> None:
    """As a table or as JSON; to the server that is named, with the first key."""
    keys = tmp_path / "keys"
    keys.write_text(f"new {'5a' * 32}\nold {'6b' * 32}\n")
    keys.chmod(0o600)
    config.write_text(f'keys.file = "{keys}"\n')
    asked: list[tuple[str, str]] = []

    def run(options: Options, key: Key) -> list[ProbeResult]:
        asked.append((str(options.server), key.id))
        return [ProbeResult(ProbeKind.CLEAN, "" if well else "broken", "550 x", {})]

    monkeypatch.setattr("miltscan.commands.sandwich.run_probes", run)
    table = miltscan("probe", "--config", config)
    told = miltscan("probe", "--json", "--server", "inet:26@mx.example.test", "--config", config)
    assert [table.exit_code, told.exit_code] == [status, status]
    assert ("FAILED" in table.stdout) is not well
    assert json.loads(told.stdout)["well"] is well
    assert asked == [("inet:25@127.0.0.1", "new"), ("inet:26@mx.example.test", "new")]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "keys.file is empty: probes must be signed. Set keys.file, then run: miltscan keys new"),
        (["--server", "mx"], "--server mx: expected inet:PORT@HOST"),
    ],
)
def test_a_probe_that_cannot_be_sent_is_one_line_and_status_2(config: Path, arguments: list[str], line: str) -> None:
    """Without a key, or with an address that is none."""
    result = miltscan("probe", *arguments, "--config", config)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{line}\n")
