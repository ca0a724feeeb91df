"""The configuration file of a miltscan that runs in a private folder."""

from pathlib import Path


def write(folder: Path, clamd: str, exporter_port: int, more: str = "") -> Path:
    """Write `miltscan.toml` in `folder` and return its path; `clamd` is a server address, `more` are further tables."""
    (folder / "spool").mkdir(exist_ok=True)
    path = folder / "miltscan.toml"
    path.write_text(
        f"""\
[milter]
socket = "unix:{folder}/run/miltscan.sock"

[spool]
directory = "{folder}/spool"

[clamd]
servers = ["{clamd}"]
canary_interval = "2s"

[exporter]
listen = "127.0.0.1:{exporter_port}"
directory = "{folder}/metrics"
{more}"""
    )
    return path
