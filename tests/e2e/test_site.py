"""The documentation as a site: `make docs` builds it without a warning, and it needs no other host."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.harness.programs import CHECKOUT

SPHINX = CHECKOUT / ".venv" / ".docs" / "bin" / "sphinx-build"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; `make docs` installs what builds it."""
    if not SPHINX.exists():
        pytest.skip("the site is not built here: make docs")
    folder = tmp_path_factory.mktemp("site")
    command = ["make", "-s", "-C", str(CHECKOUT), "docs", f"DOCS={folder}"]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_a_page_links_to_each_group(site: Path) -> None:
    """The navigation has the pages of README.md's table, and the site loads nothing from elsewhere."""
    front = (site / "index.html").read_text()
    assert {"docs/first-day.html", "docs/troubleshooting.html", "docs/CONTRIBUTING.html"} <= set(
        re.findall(r'href="([^"#]+)"', front)
    )
    assert re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', front) == []


def test_the_search_works_without_a_server(site: Path) -> None:
    """The index of the search is part of the site, and knows a word of a page."""
    assert "quarantin" in (site / "searchindex.js").read_text()
