"""Writes the Grafana dashboard: `python -m deploy.grafana.generator`."""

import argparse
from pathlib import Path

from deploy.grafana.generator import whole

_EXAMPLE = """example, for links that lead to a copy of the documentation:
  python -m deploy.grafana.generator --docs https://wiki.example.org/miltscan --output /var/lib/grafana/miltscan.json"""


def main() -> None:
    """Writes the file, or says in a line why it cannot be written."""
    parser = argparse.ArgumentParser(
        "python -m deploy.grafana.generator",
        description="Writes the Grafana dashboard anew from the catalogue of metrics.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--docs", default=whole.DOCS, metavar="URL", help="where its links to the documentation lead")
    parser.add_argument("--output", default=whole.FILE, metavar="FILE", type=Path, help="default: %(default)s")
    chosen = parser.parse_args()
    try:
        chosen.output.write_text(whole.text(chosen.docs))
    except OSError as error:
        parser.error(f"{chosen.output}: {error.strerror}")


if __name__ == "__main__":
    main()
