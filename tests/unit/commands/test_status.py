"""`miltscan status`: the verdict of the page as text, JSON and plugin, and a service that does not answer."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness.commands import in_process

AT = 1_800_000_000.0
NOW = (
    "now      30 messages a minute; latency p95 34 ms; incoming queue 0; delivery queue 12; "
    "since the start: clean 7, infected 1"
)
REMEDY = "run: systemctl start miltscan-delivery, and read its log"
ANSWER: dict[str, Any] = {
    "at": AT,
    "host": "mx.example.test",
    "version": "1.0",
    "assessment": {"level": "ok", "text": "Mail is being scanned by 1 server", "details": [], "findings": []},
    "now": {"rate": 0.5, "p95": 0.034},
    "totals": {"outcomes": {"clean": 7.0, "infected": 1.0, "error": 0.0}},
    "engines": [{"published": AT - 3600}, {"published": None}],
    "queues": [
        {"queue": "incoming", "entries": 0.0, "oldest": None},
        {"queue": "delivery", "entries": 12.0, "oldest": AT - 60},
    ],
    "plots": {},
    "configuration": {},
}
FINDING = {"level": "error", "subject": "delivery sendmail", "text": "is down|\x1b[2J", "remedy": REMEDY}
DEAD = ANSWER | {
    "assessment": {"level": "error", "text": "Mail is not delivered", "details": ["x"], "findings": [FINDING]}
}


@contextmanager
def served(answer: object, code: int = 200, token: str = "") -> Iterator[int]:
    """An exporter that gives this answer on the port, to whom has the token."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = not token or self.headers["Authorization"] == f"Bearer {token}"
            self.send_response(code if known else 401)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def ask(folder: Path, port: int, *options: str, more: str = "") -> tuple[int, str]:
    """The exit status and the output of the command."""
    file = folder / "miltscan.toml"
    file.write_text(f'[exporter]\nlisten = "127.0.0.1:{port}"\n{more}')
    result = in_process("status", "--config", file, *options)
    return result.returncode, result.stdout


def test_the_verdict_as_text(tmp_path: Path) -> None:
    """The sentence of the page comes first, then what an administrator looks at next."""
    with served(ANSWER) as port:
        code, text = ask(tmp_path, port)
    assert code == 0
    assert text.splitlines()[:2] == [
        "ok       Mail is being scanned by 1 server",
        NOW,
    ]


def test_a_fault_has_its_remedy(tmp_path: Path) -> None:
    """Each finding is a line as in `check`, cleaned for the terminal."""
    with served(DEAD) as port:
        code, text = ask(tmp_path, port)
    assert code == 1
    assert f"error    delivery sendmail: is down|\\x1b[2J; {REMEDY}\n" in text


def test_a_fault_has_its_beginning(tmp_path: Path) -> None:
    """The sentence shows since when, with the date, and a finding if it began at another time."""
    answer = ANSWER | {
        "assessment": DEAD["assessment"] | {"since": AT - 90, "findings": [FINDING | {"since": AT - 60}]}
    }
    with served(answer) as port:
        _, text = ask(tmp_path, port)
    first, second = (time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(AT - ago)) for ago in (90, 60))
    assert f"error    Mail is not delivered (since {first})\n" in text
    assert f"is down|\\x1b[2J (since {second}); {REMEDY}\n" in text


def test_the_verdict_as_json(tmp_path: Path) -> None:
    """The object is that of /api/status, without plots and configuration."""
    with served(DEAD) as port:
        code, text = ask(tmp_path, port, "--json")
    assert (code, json.loads(text)) == (1, {key: DEAD[key] for key in DEAD if key not in {"plots", "configuration"}})


def test_the_verdict_as_a_plugin(tmp_path: Path) -> None:
    """One line with performance data and thresholds, then the findings, whose text never looks like such data."""
    with served(DEAD) as port:
        code, text = ask(tmp_path, port, "--plugin", more='[thresholds]\nsignature_age = "1d"\n')
    first, second = text.splitlines()
    assert code == 2
    assert first == (
        "MILTSCAN CRITICAL - Mail is not delivered | rate=0.5; latency_p95=0.034s;5 messages_clean=7c; "
        "messages_infected=1c; messages_error=0c; incoming_queue=0; delivery_queue=12; delivery_age=60s;475200 "
        "signature_age=3600s;86400"
    )
    assert second == f"delivery sendmail: is down/\\x1b[2J; {REMEDY}"
    with served(ANSWER) as port:
        assert ask(tmp_path, port, "--plugin")[0] == 0


@pytest.mark.parametrize("options", [(), ("--json",), ("--plugin",)])
def test_a_service_that_does_not_answer(options: tuple[str, ...], tmp_path: Path) -> None:
    """It is an error with the address and the remedy, also for a program."""
    with served(ANSWER) as port:
        pass
    code, text = ask(tmp_path, port, *options)
    assert code == (2 if options == ("--plugin",) else 1)
    assert re.search(rf"inet:{port}@127\.0\.0\.1: miltscan does not answer: Connection refused", text)
    assert "systemctl start miltscan" in text


@pytest.mark.parametrize("answer", [[], {}, "text", {"assessment": None}])
def test_another_program_at_the_address(answer: object, tmp_path: Path) -> None:
    """It is an error, not a warning as an exception would be for Nagios."""
    with served(answer) as port:
        code, text = ask(tmp_path, port, "--plugin")
    assert (code, "answers with something else than a status" in text) == (2, True)


def test_a_plugin_without_a_configuration_is_unknown(tmp_path: Path) -> None:
    """Nagios shows the first line; the mistakes follow on standard error."""
    result = in_process("status", "--plugin", "--config", tmp_path / "absent")
    assert (result.returncode, result.stdout) == (3, "MILTSCAN UNKNOWN - the configuration cannot be read\n")
    assert "no such file" in result.stderr


def test_credentials(tmp_path: Path) -> None:
    """The first token of the exporter's own file opens the door; without one the finding names the key."""
    token = tmp_path / "tokens"
    token.write_text(f"{'t' * 32}\n")
    token.chmod(0o600)
    with served(ANSWER, token="t" * 32) as port:
        assert ask(tmp_path, port, more=f'token_file = "{token}"\n')[0] == 0
        code, text = ask(tmp_path, port)
        assert (code, "requires credentials; set exporter.token_file" in text) == (1, True)
    with served(ANSWER, 500) as port:
        assert "answers with status 500" in ask(tmp_path, port)[1]
    assert 'exporter: exporter.listen = "off"' in in_off(tmp_path)


def in_off(folder: Path) -> str:
    """The output where no exporter is configured."""
    (folder / "off.toml").write_text('[exporter]\nlisten = "off"\n')
    return in_process("status", "--config", folder / "off.toml").stdout


def test_watching_ends_with_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict is printed again and again until Ctrl-C, each on one line with --json."""
    pauses = iter([None, KeyboardInterrupt])

    def pause(_seconds: float) -> None:
        if problem := next(pauses):
            raise problem

    monkeypatch.setattr(time, "sleep", pause)
    with served(ANSWER) as port:
        code, text = ask(tmp_path, port, "--watch", "--json")
    assert (code, len(text.splitlines())) == (130, 2)
