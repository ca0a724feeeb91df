"""The pages: what they link to exists."""

import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
LINK = re.compile(r"(?:\]\(|<img src=\")([^)\s\"]+)[)\"]")
PAGES = [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/**/*.md"), *CHECKOUT.glob("sendmail/*.md")]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path, text: str) -> Iterator[str]:
    """The links of a page to files or headings that do not exist; addresses of the Internet are not checked."""
    for link in LINK.findall(text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if ":" not in name and not (target.exists() and (not anchor or anchor in anchors(target))):
            yield f"{page.relative_to(CHECKOUT)}: {link}"


def test_links_lead_somewhere() -> None:
    """Every relative link and image of a page exists, with its heading."""
    assert [one for page in PAGES for one in broken(page, page.read_text())] == []


def test_a_broken_link_is_found() -> None:
    """A missing file and a missing heading are named with their page."""
    text = '[a](LICENSE) [b](missing.md) ![c](README.md#missing) [d](https://example.org/x) <img src="no.png">'
    assert [*broken(CHECKOUT / "README.md", text)] == [
        "README.md: missing.md",
        "README.md: README.md#missing",
        "README.md: no.png",
    ]
