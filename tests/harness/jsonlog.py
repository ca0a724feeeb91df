"""The log of a service while it grows: each line is parsed once, however often a test looks for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LogLine = Mapping[str, Any]


class JsonLog:
    """A file to which whole lines of JSON are appended."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read = 0
        self._lines: list[LogLine] = []

    def lines(self) -> list[LogLine]:
        """All that was written so far; each whole line has to be JSON."""
        with self.file.open("rb") as stream:
            stream.seek(self._read)
            whole, end, _ = stream.read().rpartition(b"\n")
        self._lines += [json.loads(line) for line in whole.splitlines()]
        self._read += len(whole + end)
        return [*self._lines]
