"""The site's pages, as Sphinx receives them."""

from pathlib import Path

from docs.site.__main__ import CHECKOUT, entries, navigation, shown


def test_the_navigation_is_the_table_of_the_readme() -> None:
    """Each row is a group in the order of the table; a picture or an address is no page."""
    rows = (
        "| to | read |",
        "| --- | --- |",
        "| go | [one](docs/one.md) · [two](x/two.md) |",
        "| grow | [three](docs/3.md) |",
    )
    table = "\n".join(rows)
    text = navigation(table)
    assert [line for line in text.splitlines() if line.startswith((":caption", "docs", "x"))] == [
        ":caption: Go",
        "docs/one",
        "x/two",
        ":caption: Grow",
        "docs/3",
    ]
    assert entries("![a](docs/a.png) [b](https://example.org/b)") == []


def test_each_group_of_the_readme_has_pages() -> None:
    """The table of the real front page has its seven tasks and the start."""
    text = navigation((CHECKOUT / "README.md").read_text())
    captions = ["Start", "Install", "Decide", "Keep", "Watch", "Repair", "Grow", "Contribute"]
    assert [line.removeprefix(":caption: ") for line in text.splitlines() if "caption" in line] == captions


def test_links_of_a_page() -> None:
    """A link to README.md leads to the front page, one to a folder is its text, others stay."""
    text = "[a](../README.md) [b](../deploy/prometheus) [c](rules.md#conditions) [d](https://example.org)"
    expected = "[a](../index.md) b [c](rules.md#conditions) [d](https://example.org)"
    assert shown(text, Path(CHECKOUT / "docs")) == expected
