"""Writes the Grafana dashboard: `python -m deploy.grafana.generator`."""

import argparse
from pathlib import Path

from deploy.grafana.generator import whole

_EXAMPLE = """example, with links to a copy of the documentation:
  python -m deploy.grafana.generator --docs https://wiki.example.org/miltscan --output /var/lib/grafana/miltscan.json"""


def main() -> None:
    """Write the file, or exit with a line that says why it cannot be written."""
    parser = argparse.ArgumentParser(
        "python -m deploy.grafana.generator",
        description="Writes the Grafana dashboard from the definitions of the metrics.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--docs", default=whole.DOCS, metavar="URL", help="address of the documentation that the dashboard links to"
    )
    parser.add_argument("--output", default=whole.FILE, metavar="FILE", type=Path, help="default: %(default)s")
    chosen = parser.parse_args()
    try:
        chosen.output.write_text(whole.text(chosen.docs))
    except OSError as error:
        parser.error(f"{chosen.output}: {error.strerror}")


if __name__ == "__main__":
    main()
