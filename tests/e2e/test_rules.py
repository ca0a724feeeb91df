"""The rules of deploy/prometheus: checked and tried by promtool, and in a real Prometheus next to a real sandwich."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.harness import messages, programs, rules
from tests.harness.clamav import Clamd
from tests.harness.client import new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.programs import CHECKOUT
from tests.harness.prometheus import Prometheus
from tests.harness.sandwich import private_folder


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """One call; its output is what a failed test shows."""
    program = programs.find("promtool")
    command = [str(part) for part in (program, *arguments)]
    # it makes much garbage and uses little memory: with fewer collections it needs a quarter less time
    environment = {**os.environ, **programs.environment(program), "GOGC": "800"}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=240)


MIXIN = CHECKOUT / "deploy" / "mixin"
FILES = [rules.RECORDING, rules.ALERTS, *sorted(MIXIN.glob("prometheus_*.yaml"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_rules_are_valid(path: Path) -> None:
    """With promtool's lint of duplicates."""
    result = promtool("check", "rules", "--lint-fatal", path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_configuration_is_valid() -> None:
    """With the files of rules that it names."""
    result = promtool("check", "config", rules.FOLDER / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("SUCCESS") == 4


def test_the_variant_in_its_comments_is_valid(tmp_path: Path) -> None:
    """TLS and password, and an Alertmanager."""
    text = (rules.FOLDER / "prometheus.yml").read_text()
    opened = re.sub(r"^( *)# (?=( *[a-z_]+:( |$)| *- ))(?!.*: docs/)", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "prometheus.yml").write_text(opened)
    content = rules.load(tmp_path / "prometheus.yml")
    assert {"scheme", "tls_config", "basic_auth"} <= content["scrape_configs"][0].keys()
    assert "alerting" in content
    result = promtool("check", "config", "--syntax-only", tmp_path / "prometheus.yml")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", rules.CASES, ids=lambda path: path.stem)
def test_cases(path: Path) -> None:
    """What sets each alert off and what does not, and the values of the recording rules."""
    result = promtool("test", "rules", path)
    assert result.returncode == 0, result.stdout + result.stderr


@dataclass(frozen=True)
class Watched:
    """A sandwich, its clamd, and a Prometheus with our rules, in a hurry."""

    sandwich: ScanningSandwich
    clamd: Clamd
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """The test database, so that the age of the host's signatures is no alert."""
    with private_folder() as folder, Programs(folder) as engine:
        clamd = Clamd.prepare(engine, test_database=True)
        clamd.start()
        clamd.wait_ready()
        tables = {"clamd": {"canary_interval": "1s"}}
        with ScanningSandwich(folder, tables, [f"unix:{clamd.socket}"]) as sandwich:
            copies = [rules.hurried(path, folder) for path in (rules.RECORDING, rules.ALERTS)]
            prometheus = Prometheus.start(sandwich.programs, sandwich.miltscan.exporter_port, rules=copies)
            yield Watched(sandwich, clamd, prometheus)


def test_all_is_well(watched: Watched) -> None:
    """Each rule is evaluated without error; mail is counted, and no alert is pending or firing."""
    prometheus = watched.prometheus
    wait_until(lambda: {rule["health"] for rule in prometheus.rules()} == {"ok"}, PATIENCE, "every rule evaluated")
    assert len(prometheus.rules()) == len(rules.read(rules.RECORDING)) + len(rules.read(rules.ALERTS))
    wait_until(
        lambda: watched.sandwich.send(text_message(new_message_id())) and sum(_rate(prometheus)) > 0,
        PATIENCE,
        "a rate of messages",
    )
    for name in ("job:miltscan_uncovered:ratio_rate5m", "job:miltscan_slow:ratio_rate5m"):
        wait_until(partial(_is_zero, prometheus, name), PATIENCE, f"{name} of 0")
    wait_until(lambda: not prometheus.alerts(), PATIENCE, f"no alert, instead of {prometheus.alerts()}")


def _is_zero(prometheus: Prometheus, name: str) -> bool:
    return prometheus.query(name) == [0.0]


def _rate(prometheus: Prometheus) -> list[float]:
    return prometheus.query("instance:miltscan_messages:rate5m")


def test_clamd_stops(watched: Watched) -> None:
    """MiltscanNoEngine fires and sends the only page; it ends when clamd is back."""
    watched.clamd.stop()
    wait_until(lambda: "MiltscanNoEngine" in watched.prometheus.alerts("firing"), PATIENCE, "the alert")
    watched.clamd.start()
    watched.clamd.wait_ready()
    wait_until(lambda: not watched.prometheus.alerts(), PATIENCE, "no alert")


def test_the_delivery_sendmail_stops(watched: Watched) -> None:
    """MiltscanSendmailDown fires with the number of waiting messages, and ends when delivery is back."""
    watched.sandwich.delivery.stop()
    watched.sandwich.send(text_message(new_message_id()))
    wait_until(lambda: "MiltscanSendmailDown" in watched.prometheus.alerts("firing"), PATIENCE, "the alert")
    wait_until(
        lambda: ": 1 messages. Run: systemctl start" in _descriptions(watched.prometheus), PATIENCE, "the number"
    )
    watched.sandwich.delivery.start()
    watched.sandwich.delivery.wait_ready()
    watched.sandwich.incoming.drain()
    wait_until(lambda: not watched.prometheus.alerts(), PATIENCE, "no alert")


def _descriptions(prometheus: Prometheus) -> str:
    return str([alert["annotations"] for rule in prometheus.rules() for alert in rule.get("alerts", [])])


def test_the_first_infected_message_of_our_own(watched: Watched) -> None:
    """MiltscanInfectedOutgoing fires for mail from a private address to another site, and for no other direction."""
    virus = messages.as_wire(messages.infected())
    assert watched.sandwich.send(virus).code == 550
    internal = partial(watched.sandwich.miltscan.metric, "messages_total", direction="internal", outcome="infected")
    wait_until(lambda: internal() == 1, PATIENCE, "the count")
    assert not watched.prometheus.alerts()
    assert watched.sandwich.send(virus, recipients=["someone@elsewhere.example"]).code == 550
    fires = lambda: "MiltscanInfectedOutgoing" in watched.prometheus.alerts("firing")  # noqa: E731
    wait_until(fires, PATIENCE, "the alert")
    assert watched.prometheus.alerts() == {"MiltscanInfectedOutgoing"}
