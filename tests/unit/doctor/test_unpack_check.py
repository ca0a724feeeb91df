"""What `check` finds about 7-Zip and its sandbox."""

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.finding import Level
from miltscan.doctor.unpack_check import unpack_findings

BOTH = frozenset({"landlock", "seccomp"})


@pytest.mark.parametrize(
    ("settings", "program", "layers", "found"),
    [
        (b"", "/usr/bin/7zz", BOTH, [(Level.OK, "")]),
        (b"", "/usr/bin/7zz", frozenset({"seccomp"}), [(Level.WARNING, "Landlock"), (Level.OK, "")]),
        (b"", "/usr/bin/7zz", frozenset(), [(Level.WARNING, "Landlock"), (Level.WARNING, "seccomp"), (Level.OK, "")]),
        (b"", None, BOTH, [(Level.WARNING, "7zz is not installed")]),
        (b"[mime]\nunpack = false\n", None, frozenset(), []),
        (b"[mime]\nread = false\n", None, frozenset(), []),
    ],
)
def test_unpack_findings(
    settings: bytes, program: str | None, layers: frozenset[str], found: list[tuple[Level, str]]
) -> None:
    """What is missing, what follows and what to do, if it is to be used at all."""
    findings = list(unpack_findings(parse_settings(settings, "f"), lambda: program, lambda: layers))
    assert [one.level for one in findings] == [level for level, _ in found]
    assert all(text in one.text for one, (_, text) in zip(findings, found, strict=True))
    assert all(one.remedy for one in findings if one.level is Level.WARNING)
