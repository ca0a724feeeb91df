"""docs/upgrade.md and `make uninstall` remove what docs/install.md and docs/postfix.md put on a host."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
SYSTEMD = CHECKOUT / "deploy" / "systemd"


def installed() -> Iterator[str]:
    """The files that the two pages install or that the commands of these pages make."""
    yield "/etc/miltscan"
    yield from (f"/etc/systemd/system/{file.relative_to(SYSTEMD)}" for file in SYSTEMD.rglob("*") if file.is_file())
    yield "/etc/systemd/system/miltscan.service.d/postfix.conf"
    yield from (
        "/etc/sysusers.d/miltscan.conf",
        "/etc/tmpfiles.d/miltscan.conf",
        "/etc/tmpfiles.d/miltscan-postfix.conf",
    )
    yield from (f"/etc/mail/{name}" for name in ("incoming.cf", "incoming.start", "delivery.cf", "delivery.start"))
    yield from (f"/etc/mail/miltscan-{side}.mc" for side in ("incoming", "delivery"))
    yield from ("/var/lib/miltscan", "/var/spool/miltscan")


def removed() -> list[str]:
    """The patterns of each `rm` of the page and of the script."""
    script = (CHECKOUT / "deploy" / "install").read_text().replace('"$units"', "/etc/systemd/system")
    page = (CHECKOUT / "docs" / "upgrade.md").read_text()
    commands = re.findall(r"^ +rm -r?f (.*)$", script + page, re.MULTILINE)
    return [pattern for command in commands for pattern in command.split()]


def test_each_installed_file_is_removed() -> None:
    """A pattern of an `rm` matches each file, or a folder above it."""
    patterns = removed()
    left = [
        path
        for path in installed()
        if not any(fnmatchcase(str(part), one) for part in (Path(path), *Path(path).parents) for one in patterns)
    ]
    assert left == []
