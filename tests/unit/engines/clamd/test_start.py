"""Why a clamd cannot start: the signatures that its unit requires."""

from pathlib import Path

import pytest

from miltscan.core.address import UnixAddress
from miltscan.engines.clamd import local
from miltscan.engines.clamd.start import why_no_start


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ([], "has no signatures (main and daily.cvd)"),
        (["main.cvd"], "has no signatures (daily.cvd)"),
        (["daily.cld", "freshclam.dat"], "has no signatures (main.cvd)"),
        (["main.cld", "daily.cvd"], ""),
        (["ours.ndb"], ""),
    ],
)
def test_a_clamd_without_signatures_cannot_start(
    files: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit requires main and daily; elsewhere clamd also starts with a site's own database."""
    configuration, databases = tmp_path / "clamd.conf", tmp_path / "databases"
    configuration.write_text(f"LocalSocket {tmp_path}/ctl\nDatabaseDirectory {databases}\n")
    monkeypatch.setattr(local, "DEFAULT_FILE", configuration)
    server = UnixAddress(f"{tmp_path}/ctl")
    assert why_no_start(server) == f"{databases} does not exist"
    databases.mkdir()
    for name in files:
        (databases / name).touch()
    assert why_no_start(server) == (why and f"{databases} {why}")
    assert why_no_start(UnixAddress("/elsewhere")) == ""
