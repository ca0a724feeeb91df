"""The monitoring mixin is what its sources say, with the addresses of a site."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from deploy.grafana.generator import whole
from deploy.mixin import generator
from tests.harness import rules
from tests.harness.programs import CHECKOUT


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a person does."""
    command = [sys.executable, "-m", "deploy.mixin", *map(str, arguments)]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)


def test_the_files_are_what_the_generator_writes() -> None:
    """`make dashboard` changes nothing."""
    for name, content in generator.files(generator.Site()).items():
        assert (generator.FOLDER / name).read_text() == content, name


def test_a_site_has_its_addresses(tmp_path: Path) -> None:
    """Each alert leads to the pages and the Grafana of the site, and the job has its name; no number changes."""
    site = ("--docs", "https://wiki.example.test/m/", "--grafana", "https://g.example.test", "--job", "mail scanner")
    assert run(*site, "--output", tmp_path / "new").returncode == 0
    written = rules.read(tmp_path / "new" / "prometheus_alerts.yaml")
    ours = rules.read(rules.ALERTS)
    assert [rule.name for rule in written] == [rule.name for rule in ours]
    for rule, our in zip(written, ours, strict=True):
        assert rule.annotations["runbook_url"] == f"https://wiki.example.test/m/runbook.md#{rule.name.lower()}"
        assert rule.annotations["dashboard_url"] == f"https://g.example.test/{our.annotations['dashboard_url']}"
        assert rule.expression.replace('job="mail scanner"', 'job=~"miltscan.*"') == our.expression
    assert (tmp_path / "new" / "prometheus_alerts.yaml").read_text().count('job="mail scanner"') == 2
    recorded = (tmp_path / "new" / "prometheus_rules.yaml").read_text()
    assert yaml.safe_load(recorded) == rules.load(rules.RECORDING)
    for board in whole.BOARDS:
        dashboard = json.loads((tmp_path / "new" / "dashboards_out" / whole.file(board).name).read_text())
        assert dashboard == json.loads(whole.text(board, "https://wiki.example.test/m"))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The command names the file, without a traceback."""
    (tmp_path / "file").touch()
    refused = run("--output", tmp_path / "file")
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "file" in refused.stderr.splitlines()[-1]
