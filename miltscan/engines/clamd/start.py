"""Why a clamd of this host cannot start: it has no signatures. It starts nothing and sends no command."""

from pathlib import Path, PurePath

from miltscan.core.address import Address
from miltscan.core.clamav_conf import read_options
from miltscan.engines.clamd.local import file_of

_DATABASES = "/var/lib/clamav"
_OWN = {".ndb", ".ldb", ".hdb", ".hsb", ".yar", ".yara", ".cdb", ".db"}
"""Endings of signatures that an administrator adds; freshclam's are .cvd and .cld."""


def why_no_start(server: Address) -> str:
    """Why the clamd that should serve at this address of this host cannot start; empty if it has signatures.

    Debian's unit requires main and daily in its own folder; without them it starts nothing, and systemctl reports no
    error. Elsewhere any database lets clamd start.
    """
    file = file_of(server)
    if file is None:
        return ""
    try:
        options = read_options(file.read_text(errors="replace"))
        folder = Path(options.get("DatabaseDirectory", [_DATABASES])[0])
        names = {one.name for one in folder.iterdir()}
    except FileNotFoundError as missing:
        return f"{missing.filename} does not exist"
    except OSError:
        return ""
    absent = [name for name in ("main", "daily") if not {f"{name}.cvd", f"{name}.cld", f"{name}.inc"} & names]
    others = any(PurePath(name).suffix in _OWN for name in names)
    if not absent or (others and folder != Path(_DATABASES)):
        return ""
    return f"{folder} has no signatures ({' and '.join(absent)}.cvd)"
