"""The commands of README.md for production stand in an order in which each one succeeds."""

from pathlib import Path

README = Path(__file__).parents[3] / "README.md"
ORDER = (
    "apt-get install",
    "--require-hashes -r deploy/requirements.txt",
    "--no-deps .",
    "systemd-sysusers",  # the user of the folders
    "systemd-tmpfiles",
    "cp -r deploy/systemd/.",
    "systemctl daemon-reload",  # before the first restart with the drop-ins
    "cp deploy/clamav/clamd.conf",
    "until ls /var/lib/clamav/main",  # without signatures a restart starts nothing
    "systemctl restart clamav-daemon",
    "[limits]",
    "make -C sendmail",
    "newaliases",  # doctor --send needs an alias for postmaster
    "Run `miltscan check`",  # clamd, the folders and the aliases are there
    "systemctl mask sendmail",
    "systemctl enable --now miltscan-sandwich.target",
    "Run `miltscan doctor --send`",
)
"""Tried on a booted Debian 12 without any of the parts; each step needs those above it."""


def test_each_command_stands_after_what_it_needs() -> None:
    """An administrator who follows the page from top to bottom meets no error."""
    page = README.read_text()
    section = page[page.index("## Put it into production") :]
    places = [section.find(one) for one in ORDER]
    assert [one for one, place in zip(ORDER, places, strict=True) if place < 0] == []
    assert places == sorted(places)
