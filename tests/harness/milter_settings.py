"""The configuration file of a miltscan that runs in a private folder."""

import json
from pathlib import Path


def inline(value: object) -> str:
    """A value in TOML on one line, tables within lists included (`[[engine]]`)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return json.dumps(value)


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
