"""Each `miltscan` command on a page, in a block or a sentence, is one that the program knows, with its options."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from miltscan.cli import whole_program

CHECKOUT = Path(__file__).parents[3]
PAGES = [
    CHECKOUT / "README.md",
    *CHECKOUT.glob("docs/**/*.md"),
    *CHECKOUT.glob("sendmail/*.md"),
    *CHECKOUT.glob("deploy/**/*.md"),
]
PROGRAM: Any = whole_program()
IN_SENTENCE = re.compile(r"`(miltscan [^`]+)`")
IN_BLOCK = re.compile(r"^(?: {4,}|\$ | {4,}\$ )(?:[^:\n]*(?:&&|;) )?(miltscan [a-z-].*)$", re.MULTILINE)
NO_COMMANDS = {"miltscan worker", "miltscan keeper", "miltscan export"}
"""The names of processes in docs/start-stop.md."""
ENDS = ("|", "&&", ";", ">", ">>", "<")
"""What ends a command in a line."""


def commands(text: str) -> Iterator[str]:
    """The commands of a page."""
    joined = text.replace("\\\n", " ")
    yield from (*IN_SENTENCE.findall(joined), *IN_BLOCK.findall(joined))


def words_of(line: str) -> list[str]:
    """The words of the command at the start of a line of the shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    return [*takewhile(lambda word: word not in ENDS, lexer)]


def mistake(line: str) -> str:
    """What the program would say about a command; empty if it can be typed."""
    command = PROGRAM
    words = words_of(line)[1:]
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    try:
        command.make_parser(command.context_class(command)).parse_args(words)
    except Exception as error:  # noqa: BLE001 - click's class has moved between typer's versions
        return str(error)
    return ""


def test_each_command_can_be_typed() -> None:
    """A command or an option that was renamed is found on every page."""
    offenders = [
        f"{page.relative_to(CHECKOUT)}: {line}: {problem}"
        for page in PAGES
        for line in commands(page.read_text())
        if line not in NO_COMMANDS and (problem := mistake(line))
    ]
    assert offenders == []


def test_a_mistake_is_found() -> None:
    """Commands are found in sentences and blocks; an unknown command and an unknown option are mistakes."""
    text = "Run `miltscan scann FILE`.\n\n    echo x; miltscan scan FILE   # why\n\n$ miltscan status --jso | jq\n"
    found = [*commands(text)]
    assert found == ["miltscan scann FILE", "miltscan scan FILE   # why", "miltscan status --jso | jq"]
    assert [bool(mistake(line)) for line in found] == [True, False, True]


def outside_fences(text: str) -> list[str]:
    """The indented lines of a page that are commands by their form: not in a fence, a list or a picture of text."""
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^ {4,}([a-z][\w.-]* [^─\n]*)$", plain, re.MULTILINE)


def not_executed() -> Iterator[str]:
    """Command blocks of the pages for a first day that no test runs.

    tests/e2e/test_pages.py runs those in `console`, and the lines in which README.md and policies.md call `miltscan`,
    `journalctl` and `make demo`; tests/systems/test_setup.py runs README.md's way into production.
    """
    for name in ("docs/first-day.md", "docs/troubleshooting.md", "docs/policies.md"):
        text = (CHECKOUT / name).read_text()
        kinds = {"toml"} if name.endswith("policies.md") else {"console"}
        yield from (f"{name}: {kind}" for kind in re.findall(r"^```(\w+)$", text, re.MULTILINE) if kind not in kinds)
        run = r"(miltscan|journalctl) .*" if name.endswith("policies.md") else "none"
        yield from (f"{name}: {line}" for line in outside_fences(text) if not re.fullmatch(run, line))
    before, production = (CHECKOUT / "README.md").read_text().split("\n## Put it into production\n")
    production = production.partition("\n## ")[0]
    yield from (line for line in outside_fences(before) if not re.match(r"make (demo|test) ", line))
    yield from (line for line in outside_fences(production) if not re.match(r"(apt|editor|miltscan) ", line))


def test_every_command_of_the_first_pages_is_executed() -> None:
    """A block that the tests would leave out is found."""
    assert [*not_executed()] == []


def test_a_block_that_is_left_out_is_found() -> None:
    """Commands outside fences are seen, lines within them and text are not."""
    assert outside_fences("    make x\n\n```toml\n    a = 1\n```\n\n    delivery ──> mailboxes\n") == ["make x"]


def test_no_command_starts_or_stops_sendmail_by_enable_or_disable() -> None:
    """On Debian 12 sendmail is an init script: `systemctl enable` and `disable` ignore their `--now`."""
    sources = [*PAGES, *CHECKOUT.glob("deploy/debian/**/miltscan.p*")]
    offenders = [
        f"{source.relative_to(CHECKOUT)}: {line}"
        for source in sources
        for line in re.findall(r"(?:systemctl enable|systemctl disable) --now .*\bsendmail\b.*", source.read_text())
    ]
    assert offenders == []
