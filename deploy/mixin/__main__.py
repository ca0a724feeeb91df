"""Writes the monitoring mixin: `python -m deploy.mixin`."""

import argparse
from pathlib import Path

from deploy.mixin import generator

_EXAMPLE = """example, with the addresses of a site:
  python -m deploy.mixin --docs https://wiki.example.org/miltscan/docs --grafana https://grafana.example.org \\
      --output /etc/prometheus/miltscan"""


def main() -> None:
    """Write the files, or exit with a line that says why they cannot be written."""
    default = generator.Site()
    parser = argparse.ArgumentParser(
        "python -m deploy.mixin",
        description="Writes alerts, recording rules and dashboards in the layout of a monitoring mixin.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--docs", default=default.docs, metavar="URL", help="address of this project's docs folder")
    parser.add_argument("--grafana", default=default.grafana, metavar="URL", help="address of Grafana")
    parser.add_argument("--job", default=default.job, help="the scrape job, if its name does not begin with miltscan")
    parser.add_argument("--output", default=generator.FOLDER, metavar="FOLDER", type=Path, help="default: %(default)s")
    chosen = parser.parse_args()
    try:
        generator.write(generator.Site(chosen.docs, chosen.grafana, chosen.job), chosen.output)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")


if __name__ == "__main__":
    main()
