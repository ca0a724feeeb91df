"""What pip installs, and what it builds with: each by its hash, and from no index that a file names."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
BUILD = CHECKOUT / "deploy" / "requirements-build.txt"
LISTS = [
    *sorted((CHECKOUT / "deploy").glob("requirements*.txt")),
    *sorted((CHECKOUT / "tests").rglob("requirements.txt")),
    *sorted((CHECKOUT / "docs").rglob("requirements.txt")),
]
HASHED = re.compile(r"[A-Za-z0-9._-]+==\S+( --hash=sha256:[0-9a-f]{64})+")


def requirements(file: Path) -> list[str]:
    """The requirements of a list, each on one line, without comments."""
    text = re.sub(r"^ *#.*\n", "", file.read_text(), flags=re.MULTILINE)
    return [re.sub(r"\s+", " ", line).strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("file", LISTS, ids=lambda file: str(file.relative_to(CHECKOUT)))
def test_each_requirement_has_its_hash(file: Path) -> None:
    """A list has nothing but pinned versions with their hashes: no index, no option, no address."""
    found = requirements(file)
    assert found
    assert [line for line in found if not HASHED.fullmatch(line)] == []


def test_the_build_list_has_what_the_build_needs() -> None:
    """The list names all build requirements, because without isolation pip fetches none."""
    needed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["build-system"]["requires"]
    names = {re.split(r"[^A-Za-z0-9._-]", one)[0] for one in needed}
    assert names <= {line.partition("==")[0] for line in requirements(BUILD)}


def installs() -> Iterator[tuple[str, str]]:
    """File and text of each command in Makefile, script and documentation that installs with pip."""
    for file in (CHECKOUT / "Makefile", CHECKOUT / "deploy/install", *sorted((CHECKOUT / "docs").glob("*.md"))):
        text = file.read_text().replace("$(PIP_INSTALL)", "pip install --no-build-isolation")
        yield from (
            (file.name, line) for line in text.splitlines() if re.search(r"pip install .*(-r|--no-deps) ", line)
        )


def test_no_command_fetches_build_requirements_without_hashes() -> None:
    """Each command builds without isolation, because pip checks no hash in an isolated environment."""
    commands = [*installs()]
    assert {name for name, _ in commands} >= {"Makefile", "install", "log-tools.md"}
    safe = re.compile(r"--no-build-isolation|--require-hashes --only-binary :all: ")
    assert [one for one in commands if not safe.search(one[1])] == []


def test_lists_with_more_have_the_same_versions() -> None:
    """Installing libraries for one more feature neither changes nor removes a version of the service."""
    service = set(requirements(CHECKOUT / "deploy" / "requirements.txt"))
    for name in ("requirements-otel.txt", "requirements-quarantine.txt"):
        assert service - set(requirements(CHECKOUT / "deploy" / name)) == set(), name
