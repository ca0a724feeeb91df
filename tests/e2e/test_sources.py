"""`access:TAG` with sendmail's own tools: the keys that it looks for, formats of makemap, and broken maps."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from miltscan.core.lookup import Kind, Source
from miltscan.errors import SourceError
from miltscan.scanning.sources import Sources
from miltscan.telemetry import log
from tests.harness import preload, programs
from tests.harness.sandwich import Sandwich

ENTRIES = """\
Scan:full@deep.example	OK
Scan:deep.example	SKIP
Scan:example	OK
Scan:user@	OK
Scan:192.0.2	OK
Scan:192.0.2.9	SKIP
Scan:IPv6:2001:db8:0:0	OK
Scan:Upper.Test	x
Scan:skipped@example	SKIP
Scan:nouser@	SKIP
Scan:plus+*@plus.test	OK
Scan:anyplus+*@	OK
Scan:[198.51.100]	OK
"""


def build(kind: str, stem: Path, text: str = ENTRIES) -> None:
    """A map, as makemap(8) makes it."""
    makemap = programs.find("makemap")
    environment = {**os.environ, **programs.environment(makemap)}
    subprocess.run([makemap, kind, stem], input=text.encode(), check=True, capture_output=True, env=environment)


def opened(place: str) -> tuple[Sources, Source]:
    """The keys with the tag Scan, and the process's sources."""
    sources = Sources(place, log.logger)
    return sources, sources.open("access:Scan", str)


def named(source: Source, kind: Kind, value: str) -> bool:
    """Whether it names the value."""
    return bool(source.has(kind, value))


@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_formats_of_makemap(kind: str, tmp_path: Path) -> None:
    """A change is read, and a map that is broken later keeps its last content."""
    stem, file = tmp_path / "access", tmp_path / "access.db"
    build(kind, stem)
    sources, source = opened(f"{kind}:{stem}")
    assert named(source, Kind.ADDRESS, "a@upper.test")
    build(kind, stem, "Scan:other.test\tOK\n")
    for _ in range(2):
        sources.look()
    assert (named(source, Kind.ADDRESS, "a@upper.test"), named(source, Kind.ADDRESS, "a@other.test")) == (False, True)
    file.write_bytes(b"no map at all")
    for _ in range(2):
        sources.look()
    assert named(source, Kind.ADDRESS, "a@other.test")


@pytest.mark.parametrize("kind", ["hash", "btree"])
def test_a_map_that_is_cut_short(kind: str, tmp_path: Path) -> None:
    """Makemap reads what is left of it without a word; the last whole map stays in force."""
    stem, file = tmp_path / "access", tmp_path / "access.db"
    build(kind, stem, "".join(f"Scan:d{number}.test\tOK\n" for number in range(1000)))
    sources, source = opened(f"{kind}:{stem}")
    whole = file.read_bytes()
    for size in (4096, 8192, len(whole) // 2, len(whole) - 4096):
        file.write_bytes(whole[:size])
        for _ in range(2):
            sources.look()
        assert all(named(source, Kind.ADDRESS, f"a@d{number}.test") for number in range(1000))
        with pytest.raises(SourceError, match="is cut short"):
            opened(f"{kind}:{stem}")


def test_a_poisoned_map_at_the_start(tmp_path: Path) -> None:
    """The line names the map, and says what makemap says."""
    (tmp_path / "access.db").write_bytes(b"no map at all")
    with pytest.raises(SourceError, match=f"hash:{tmp_path}/access: .*makemap"):
        opened(f"hash:{tmp_path}/access")
    build("btree", tmp_path / "access")
    with pytest.raises(SourceError, match="makemap"):
        opened(f"hash:{tmp_path}/access")


RULESET = """
SScanTest
R$+ @ $+\t$@ $>SearchList <! Scan> $| <F:$1@$2> <U:$1@> <D:$2> <>
R$+\t$: $>SearchList <! Scan> $| <U:$1@> <>
"""
HOSTS = ["deep.example", "a.deep.example", "other.example", "upper.test", "test", "a.b.upper.test", "example"]
ADDRESSES = [
    "192.0.2.7",
    "192.0.2.9",
    "192.0.3.1",
    "192.0.20.1",
    "IPv6:2001:db8:0:0:0:0:0:1",
    "IPv6:2001:db8:1:0:0:0:0:1",
]
MAILBOXES = [
    "full@deep.example", "other@deep.example", "user@deep.example", "user@none.test", "nobody@none.test",
    "x@upper.test", "x@other.example", "user+detail@none.test", "full+detail@deep.example", "x+detail@deep.example",
    "skipped@example", "skipped@other.example", "nouser@example", "nouser@none.test", "plus+a@plus.test",
    "plus@plus.test", "anyplus+a@none.test", "anyplus@none.test", "x@[198.51.100.7]", "x@[198.51.101.7]",
    "user", "user+detail", "nouser", "example", "anyplus+a",
]  # fmt: skip


def test_the_keys_are_those_that_sendmail_looks_for(plain_sandwich: Sandwich) -> None:
    """Its own rulesets (LookUpDomain, LookUpAddress, SearchList) find in the same map what the source finds."""
    incoming, folder = plain_sandwich.incoming, plain_sandwich.folder / "keys"  # sendmail uses no map below /tmp
    folder.mkdir()
    configuration = folder / "sendmail.cf"
    build("hash", folder / "access")
    text = re.sub(r"(?m)^(Kaccess .*) \S+$", rf"\1 {folder}/access", incoming.configuration.read_text())
    configuration.write_text(text + RULESET)
    _, source = opened(f"hash:{folder}/access")
    expected = {f"D <{one}> <?> <! Scan> <>": named(source, Kind.HOST, one) for one in HOSTS}
    expected |= {f"A <{one}> <?> <! Scan> <>": named(source, Kind.NETWORK, one) for one in ADDRESSES}
    expected |= {f"ScanTest {one}": named(source, Kind.ADDRESS, one) for one in MAILBOXES}
    command = [str(configuration) if one == str(incoming.configuration) else one for one in incoming.command("-bt")]
    said = "\n".join([*expected, "/quit\n"])
    environment = {**os.environ, **preload.environment(plain_sandwich.folder)}
    done = subprocess.run(command, input=said, capture_output=True, text=True, check=False, timeout=60, env=environment)
    answers = re.split(r"^> ", done.stdout, flags=re.MULTILINE)[1 : len(expected) + 1]
    results = [re.findall(r"returns: (.*)$", answer, re.MULTILINE)[-1] for answer in answers]
    assert {
        asked: not re.search(r"\?|SKIP", result) for asked, result in zip(expected, results, strict=True)
    } == expected
    assert {*expected.values()} == {True, False}
