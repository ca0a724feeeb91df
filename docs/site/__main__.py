"""Lays out the pages for Sphinx: `python -m docs.site FOLDER`; `make docs` calls it.

The pages stay where the repository has them, so that their links lead to the same places on the site. The navigation
is the table "Read on" of README.md: each of its rows is a group, with its pages in their order.
"""

import re
import shutil
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
_COPIED = ("docs", "sendmail", "deploy", "CHANGELOG.md", "LICENSE")
_ROW = re.compile(r"^\| ([\w ]+) \| (.*\[.*) \|$", re.MULTILINE)
_ANY_LINK = re.compile(r"\[([^\]]+)\]\(([^):#]+)\)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)\.md\)")


def main(folder: Path) -> None:
    """Write everything that the site shows to `folder`, which is replaced."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    skipped = shutil.ignore_patterns("*.py", "__pycache__", "site", "generator")
    for name in _COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=skipped)
        else:
            shutil.copy2(source, folder)
    readme = (CHECKOUT / "README.md").read_text()
    (folder / "index.md").write_text(readme + navigation(readme))
    for page in folder.rglob("*.md"):
        page.write_text(shown(page.read_text(), CHECKOUT / page.relative_to(folder).parent))


def shown(text: str, folder: Path) -> str:
    """A page of `folder` with the links of the site: README.md is its front page, and it has no listings of folders."""
    text = text.replace("../README.md", "../index.md")
    return _ANY_LINK.sub(lambda link: link[1] if (folder / link[2]).is_dir() else link[0], text)


def navigation(readme: str) -> str:
    """The groups of pages, as directives of MyST that show nothing on the page itself."""
    return "".join(
        "\n".join(["", "```{toctree}", ":hidden:", f":caption: {title.capitalize()}", "", *entries(row), "```", ""])
        for title, row in _ROW.findall(readme)
    )


def entries(row: str) -> list[str]:
    """The pages of a row, in its order, each under the heading of the page itself."""
    return [page for _, page in _LINK.findall(row)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
