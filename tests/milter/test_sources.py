"""Files and maps that rules name, in a running service: changes, faults, reloads, and a start without them."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import CHECKOUT, Daemon


def replaced(path: Path, text: str) -> None:
    """Another content, in a new file as a careful program does it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def rule(path: Path) -> list[dict[str, object]]:
    """A rule that rejects what a file and the access map name."""
    return [{"name": "named", "action": "reject", "when": {"sender": [f"file:{path}", "access:Scan"]}}]


def refused(service: Daemon, sender: bytes) -> bool:
    """Whether mail of this sender is refused."""
    return service.send(Message(sender=sender)).reply.smtp.startswith(b"550")


def test_sources_of_a_running_service(own: Fleet, tmp_path: Path) -> None:
    """A change is in force in both workers without a reload; what vanishes keeps its content, and is told."""
    file, access = tmp_path / "senders", tmp_path / "access"
    file.write_text("@a.example\n")
    access.write_text("Scan:b.example\tOK\n")
    service = own(milter__workers=2, rule=rule(file), policy__access_map=f"text:{access}")
    service.start()
    service.wait_ready()
    wait_until(service.engines_up, PATIENCE, "an engine")
    assert [refused(service, one) for one in (b"<x@a.example>", b"<x@b.example>", b"<x@c.example>")] == [
        True,
        True,
        False,
    ]
    replaced(file, "@c.example\n")
    service.wait_logged("source_read", 2, source=f"file:{file}")
    assert [refused(service, one) for one in (b"<x@a.example>", b"<x@b.example>", b"<x@c.example>")] == [
        False,
        True,
        True,
    ]
    access.unlink()
    service.wait_logged("source_fails", 2, why=f"{access} has vanished")
    service.wait_metric("rule_sources_stale", 1)
    assert refused(service, b"<x@b.example>")
    service.running.signal(signal.SIGHUP)
    service.wait_logged("reload_failed")
    assert refused(service, b"<x@b.example>")
    access.write_text("Scan:d.example\tOK\n")
    service.wait_logged("source_read", 2, source=f"text:{access}")
    service.wait_metric("rule_sources_stale", 0)
    service.running.signal(signal.SIGHUP)
    service.wait_logged("reload")
    wait_until(lambda: refused(service, b"<x@d.example>"), PATIENCE, "the rules after the reload")
    replaced(file, "@e.example\n")
    # a worker that reloads after this reads the new content at once
    wait_until(lambda: all(refused(service, b"<x@e.example>") for _ in range(6)), PATIENCE, "the new content")


def test_a_start_without_a_source(own: Fleet, tmp_path: Path) -> None:
    """One line for each of them, and no traceback."""
    service = own(rule=rule(tmp_path / "senders"), policy__access_map=f"text:{tmp_path}/access")
    service.write_settings()
    command = [sys.executable, "-m", "miltscan", "run", "--config", str(service.config)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("does not exist; create it, or change the rule") == 2
    assert "Traceback" not in done.stderr
