"""Makes the files of the mixin from deploy/prometheus and the dashboards; it changes addresses and the job only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.grafana.generator import whole

FOLDER = Path(__file__).parent
_PROMETHEUS = FOLDER.parent / "prometheus"
_JOB = 'job=~"miltscan.*"'
_DOCS, _DASHBOARD = "runbook_url: docs/", "dashboard_url: d/"
_HEAD = "# Made by `python -m deploy.mixin`, from deploy/prometheus/{}.\n"


@dataclass(frozen=True, slots=True)
class Site:
    """The addresses of the documentation and of Grafana, and the name of the scrape job."""

    docs: str = "https://example.org/miltscan/docs"
    grafana: str = "https://grafana.example.org"
    job: str = ""


def files(site: Site) -> Mapping[str, str]:
    """Return the content of each file by its path within the mixin."""
    # on one line, as nobody edits them here
    boards = {
        f"dashboards_out/{whole.file(board).name}": json.dumps(
            json.loads(whole.text(board, site.docs)), separators=(",", ":")
        )
        + "\n"
        for board in whole.BOARDS
    }
    return {
        "prometheus_alerts.yaml": _rules("miltscan.alerts.yml", site),
        "prometheus_rules.yaml": _rules("miltscan.rules.yml", site),
        **boards,
    }


def write(site: Site, folder: Path) -> None:
    """Write the files below the folder. Raises OSError."""
    for name, content in files(site).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def _rules(name: str, site: Site) -> str:
    text = (_PROMETHEUS / name).read_text()
    text = text.replace(_DOCS, f"runbook_url: {site.docs.rstrip('/')}/")
    text = text.replace(_DASHBOARD, f"dashboard_url: {site.grafana.rstrip('/')}/d/")
    return _HEAD.format(name) + (text.replace(_JOB, f"job={json.dumps(site.job)}") if site.job else text)
