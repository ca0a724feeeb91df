"""Runs the examples of a page: commands after `$ ` in blocks of `console`, each followed by lines of its output.

A line of the page must be in the output, in order. Numbers, times, host names and IDs may differ; an ID that the page
shows stands for that of this run in later commands. `...` stands for any text, on a line of its own for any lines.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = r"\b(?:6[0-9A-Za-z]{13}|01[0-9a-z]{18})\b"  # of sendmail's queue, and of the quarantine
_VOLATILE = re.compile(rf"(?P<id>{_ID})|(?P<any>\.\.\.|\bmx\.example\.org\b)|(?P<number>\d[\d.,:]*)|(?P<blank>\s+)")
_PATTERNS = {"any": r".*", "number": r"\d[\d.,:]*", "blank": r"\s+"}
_PATIENCE = 120  # seconds for a command


@dataclass(frozen=True, slots=True)
class Example:
    """A command, and the lines of its output that the page shows."""

    command: str
    shown: tuple[str, ...]


def examples(text: str) -> Iterator[Example]:
    """The examples of a page in their order; a command goes on after a backslash at the end of its line."""
    for block in _BLOCK.findall(text):
        for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            command, *lines = part.rstrip().split("\n")
            yield Example(command, tuple(line for line in lines if line.strip() not in {"", "..."}))


@dataclass
class Console:
    """A shell in which the paths, ports and programs of a page are those of a test.

    `replaced` maps texts of commands to those of the test; `folder` comes first on PATH.
    """

    folder: Path
    replaced: Mapping[str, str]
    ids: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """The result of a command, its output and errors together."""
        for there, here in {**self.replaced, **self.ids}.items():
            command = command.replace(there, here)
        return subprocess.run(
            ["bash", "-c", command],
            check=False,
            env={"PATH": f"{self.folder}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder), "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE,
        )

    def missing(self, example: Example) -> str:
        """Runs an example; empty if its output has the lines of the page, else the first missing one and the output."""
        output = self.run(example.command).stdout
        for there, here in self.replaced.items():
            output = output.replace(here, there)
        lines = iter(output.splitlines())
        for shown in example.shown:
            pattern, ids = _pattern(shown)
            found = next((match for line in lines if (match := pattern.search(line))), None)
            if found is None:
                return f"$ {example.command}\nno line as {shown!r} in:\n{output}"
            self.ids.update(zip(ids, found.groups(), strict=True))
        return ""


def _pattern(shown: str) -> tuple[re.Pattern[str], list[str]]:
    """What matches a line of the page, with a group for each of its IDs."""
    pieces, ids, end = [], [], 0
    for match in _VOLATILE.finditer(shown.strip()):
        pieces.append(re.escape(shown.strip()[end : match.start()]))
        pieces.append(f"({_ID})" if match["id"] else _PATTERNS[str(match.lastgroup)])
        ids += [match[0]] if match["id"] else []
        end = match.end()
    pieces.append(re.escape(shown.strip()[end:]))
    return re.compile("".join(pieces)), ids
