"""A real Prometheus that scrapes one exporter every second, in a private folder and on a free loopback port."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import ports, programs
from tests.harness.processes import Program, Programs

_CONFIGURATION = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: {rules}
scrape_configs: {jobs}
"""
_JOB = '[{{job_name: miltscan, static_configs: [{{targets: ["127.0.0.1:{exporter_port}"]}}]}}]'


@dataclass(frozen=True)
class Prometheus:
    """A started Prometheus."""

    program: Program
    port: int

    @classmethod
    def start(cls, owner: Programs, exporter_port: int, jobs: str = "", rules: Sequence[Path] = ()) -> "Prometheus":
        """Starts it below the folder of `owner`; returns when it answers queries.

        `jobs`, the value of `scrape_configs`, replace the scrape of that port; `rules` are files of rules.
        """
        folder, port = owner.folder / "prometheus", ports.choose().number
        folder.mkdir(exist_ok=True)  # it may have data already
        jobs = jobs or _JOB.format(exporter_port=exporter_port)
        (folder / "prometheus.yml").write_text(
            _CONFIGURATION.format(jobs=jobs, rules=json.dumps([str(rule) for rule in rules]))
        )
        command: list[str | Path] = [
            programs.find("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        started = cls(owner.start("prometheus", command), port)
        started.program.wait_ready(started._is_ready)
        return started

    def _is_ready(self) -> bool:
        try:
            return bool(self._get("/-/ready"))
        except urllib.error.URLError as error:  # not listening yet, or 503
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            return False

    def query(self, expression: str) -> list[float]:
        """The values of an instant query (https://prometheus.io/docs/prometheus/latest/querying/api/)."""
        found = json.loads(self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}"))
        return [float(series["value"][1]) for series in found["data"]["result"]]

    def instant(self, expression: str, time: float) -> list[dict[str, Any]]:
        """The series of an instant query at a time."""
        return self._series("query", query=expression, time=time)

    def course(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """The series of a range query."""
        return self._series("query_range", query=expression, start=start, end=end, step=step)

    def _series(self, kind: str, **parameters: float | str) -> list[dict[str, Any]]:
        found = json.loads(self._get(f"/api/v1/{kind}?{urllib.parse.urlencode(parameters)}"))
        series: list[dict[str, Any]] = found["data"]["result"]
        return series

    def label_values(self, label: str, series: str) -> list[str]:
        """The values of a label of a series."""
        path = f"/api/v1/label/{label}/values?{urllib.parse.urlencode({'match[]': series})}"
        values: list[str] = json.loads(self._get(path))["data"]
        return values

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as it stands after its last evaluation."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self, state: str = "") -> set[str]:
        """The names of the alerts that are pending or firing, or only of those in `state`."""
        found = json.loads(self._get("/api/v1/alerts"))["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in found if state in {"", alert["state"]}}

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
            content: bytes = response.read()
            return content
