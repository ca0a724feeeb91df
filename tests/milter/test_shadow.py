"""`run --shadow`: a candidate beside the policy in force, which is asked about each message and decides nothing."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.fakes.mta import Message
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import CHECKOUT

CANDIDATE = '[[rule]]\nname = "{name}"\nwhen = {{ sender = "@a.example" }}\naction = "reject"\n'


def test_a_candidate_is_only_asked(own: Fleet, tmp_path: Path) -> None:
    """Differences are logged and counted; a reload reads its file again, and a mistake in it changes nothing."""
    file = tmp_path / "candidate.toml"
    file.write_text(CANDIDATE.format(name="first"))
    service = own()
    service.command = (*service.command, "--shadow", str(file))
    service.start()
    service.wait_ready()
    wait_until(service.engines_up, PATIENCE, "an engine")
    assert service.send(Message(sender=b"<x@a.example>", queue_id=b"DIFFERS")).accepted
    assert service.send(Message(sender=b"<x@b.example>", queue_id=b"SAME")).accepted
    (line,) = service.wait_logged("shadow_differs")
    shown = {
        name: line[name] for name in ("queue_id", "rule", "action", "shadow_rule", "shadow_action", "recipients_count")
    }
    assert shown == {
        "queue_id": "DIFFERS",
        "rule": "clean",
        "action": "accept",
        "shadow_rule": "first",
        "shadow_action": "reject",
        "recipients_count": 1,
    }
    service.wait_metric("shadow_decisions_total", 1, result="differs")
    service.wait_metric("shadow_decisions_total", 1, result="same")
    file.write_text("[[rule]]\n")
    service.running.signal(signal.SIGHUP)
    service.wait_logged("shadow_failed")
    assert service.send(Message(sender=b"<x@a.example>")).accepted
    service.wait_logged("shadow_differs", 2, shadow_rule="first")
    file.write_text(CANDIDATE.format(name="second"))
    service.running.signal(signal.SIGHUP)
    service.wait_logged("reload", 2)
    wait_until(
        lambda: (
            service.send(Message(sender=b"<x@a.example>")).accepted
            and any(one["shadow_rule"] == "second" for one in service.logged("shadow_differs"))
        ),
        PATIENCE,
        "the new candidate",
    )


def test_a_candidate_with_a_mistake_at_the_start(own: Fleet, tmp_path: Path) -> None:
    """One line for each mistake, with the name of its file."""
    service, file = own(), tmp_path / "candidate.toml"
    file.write_text('[[rule]]\nname = "r"\n')
    service.write_settings()
    command = [sys.executable, "-m", "miltscan", "run", "--config", str(service.config), "--shadow", str(file)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, f"{file}: rule[1].action: required key is missing\n")
