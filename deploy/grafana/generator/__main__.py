"""Writes the Grafana dashboards, and their addresses in the alerts: `python -m deploy.grafana.generator`."""

import argparse
from pathlib import Path

from deploy.grafana.generator import alerts, whole

_EXAMPLE = """example, with links to a copy of the documentation; deploy.mixin writes alerts with such links, too:
  python -m deploy.grafana.generator --docs https://wiki.example.org/miltscan \\
      --output /var/lib/grafana/dashboards/miltscan"""


def main() -> None:
    """Write the files, or exit with a line that says why one cannot be written."""
    parser = argparse.ArgumentParser(
        "python -m deploy.grafana.generator",
        description="Writes the Grafana dashboards from the definitions of the metrics.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--docs", default="", metavar="URL", help="address of the documentation that the dashboards link to"
    )
    parser.add_argument("--output", default=whole.FOLDER, metavar="FOLDER", type=Path, help="default: %(default)s")
    chosen = parser.parse_args()
    try:
        for board in whole.BOARDS:
            (chosen.output / whole.file(board).name).write_text(whole.text(board, chosen.docs))
        if chosen.output == whole.FOLDER:  # the numbers of the panels may have changed
            alerts.FILE.write_text(alerts.with_addresses(alerts.FILE.read_text()))
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
