"""The commands of docs/install.md stand in an order in which each one succeeds; README.md leads to every page."""

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
ORDER = (
    "apt-get install",
    "       make install",  # the units, before the first restart of clamd with its drop-ins
    "cp deploy/clamav/clamd.conf",
    "until ls /var/lib/clamav/main",  # without signatures a restart starts nothing
    "systemctl restart clamav-daemon",
    "[limits]",
    "make -C sendmail",
    "newaliases",  # doctor --send needs an alias for postmaster
    "Run `miltscan check`",  # clamd, the folders and the aliases are there
    "systemctl mask --now sendmail",
    "systemctl enable --now miltscan-sandwich.target",
    "Run `miltscan doctor --send`",
)
"""Tried on a booted Debian 12 without any of the parts; each step needs those above it."""


def test_each_command_stands_after_what_it_needs() -> None:
    """An administrator who follows the page from top to bottom meets no error."""
    page = (CHECKOUT / "docs" / "install.md").read_text()
    places = [page.find(one) for one in ORDER]
    assert [one for one, place in zip(ORDER, places, strict=True) if place < 0] == []
    assert places == sorted(places)


def test_the_readme_leads_to_every_page() -> None:
    """Each page of docs/ is linked from the front page, which fits a screen of 60 lines."""
    readme = (CHECKOUT / "README.md").read_text()
    pages = {str(page.relative_to(CHECKOUT)) for page in (CHECKOUT / "docs").rglob("*.md")}
    assert pages - set(re.findall(r"\]\(([^)#]+)\)", readme)) == set()
    assert len(readme.splitlines()) <= 60
