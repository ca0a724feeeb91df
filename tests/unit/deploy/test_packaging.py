"""The files of the Debian packages: nothing of deploy/ is forgotten, and wheel and sdist are built twice alike."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from miltscan import __version__
from tests.harness.programs import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
DEBIAN = DEPLOY / "debian"
NOT_ON_A_HOST = re.compile(
    r"debian/|container/|compose/|install$|release$|distributions\.py$|requirements.*\.txt$|mixin/|grafana/generator/|prometheus/tests/"
)
"""What builds, generates or tests the other files; the mixin, which is built into a configuration elsewhere; images."""

WITHOUT_GRAFANA = """\
import importlib, sys
sys.modules["grafana_foundation_sdk"] = None
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        print(name)
"""
"""Prints which modules require the SDK."""


def test_every_file_of_deploy_is_in_the_package() -> None:
    """A file that is added to deploy/ is installed, or is one that no host needs."""
    installed = [
        line.split()[0] for line in (DEBIAN / "common/miltscan.install").read_text().splitlines() if line[0] != "#"
    ]
    installed += re.findall(r"cp (deploy/\S+)", (DEBIAN / "common/rules.mk").read_text())
    covered: set[Path] = set()
    for pattern in installed:
        for path in CHECKOUT.glob(pattern):
            covered |= {path} if path.is_file() else {one for one in path.rglob("*") if one.is_file()}
    files = (path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")
    wanted = {path for path in files if not NOT_ON_A_HOST.match(str(path.relative_to(DEPLOY)))}
    assert {str(path) for path in wanted - covered} == set()


def test_debian_13_builds_with_all_requirements() -> None:
    """The build requires a package for each requirement of pyproject.toml, so that the unit tests see its version."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^A-Za-z0-9-]", one)[0].lower().removeprefix("py") for one in project["dependencies"]}
    needed = {re.sub(r"python3-(py)?", "", name) for name in re.findall(r"python3-[a-z0-9-]+", control("trixie"))}
    assert names - needed == set()


def test_debian_13_ignores_the_tests_of_what_it_does_not_have() -> None:
    """Its build leaves out each test module that cannot be imported without the Grafana SDK."""
    rules = (DEBIAN / "trixie/rules").read_text()
    ignored = re.findall(r"--ignore(?:-glob)?='?([^\s']+)", rules)
    paths = sorted(str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "tests/unit").rglob("test_*.py"))
    asked = [path for path in paths if re.search(r"deploy\.(grafana|mixin)", (CHECKOUT / path).read_text())]
    names = [path.removesuffix(".py").replace("/", ".") for path in asked]
    command = [sys.executable, "-c", WITHOUT_GRAFANA, *names]
    failed = subprocess.run(command, check=True, cwd=CHECKOUT, capture_output=True, text=True).stdout.split()
    assert failed
    missed = [name for name in failed if not any(fnmatch(f"{name.replace('.', '/')}.py", one) for one in ignored)]
    assert missed == []


def control(release: str) -> str:
    """The control file of a release's package."""
    return (DEBIAN / release / "control").read_text()


def test_one_version_everywhere() -> None:
    """The newest version of the changelog is that of the program, from which wheel and packages take theirs."""
    version = re.search(r'^__version__ = "(.+)"$', (CHECKOUT / "miltscan/__init__.py").read_text(), re.MULTILINE)
    released = re.search(r"^## \[(\d.*)\] - \d{4}-\d\d-\d\d$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version
    assert released
    assert released[1] == version[1] == __version__
    assert 'version = { attr = "miltscan.__version__" }' in (CHECKOUT / "pyproject.toml").read_text()
    assert "miltscan/__init__.py" in (DEBIAN / "build").read_text()


def test_both_packages_are_described_alike() -> None:
    """They differ in what they require only."""
    descriptions = [control(release).partition("Description: ")[2] for release in ("bookworm", "trixie")]
    recommended = [re.findall(r"^Recommends: .*", control(one), re.MULTILINE) for one in ("bookworm", "trixie")]
    assert descriptions[0] == descriptions[1] != ""
    assert recommended[0] == [line.replace("7zip-standalone", "7zip") for line in recommended[1]] != []


@pytest.mark.parametrize(
    "name",
    [
        "common/miltscan.postinst",
        "common/miltscan.prerm",
        "common/miltscan.postrm",
        "build",
        "tree",
        "../container/build",
    ],
)
def test_the_shell_reads_each_script(name: str) -> None:
    """A maintainer script with a mistake would leave a package half installed."""
    subprocess.run(["sh", "-n", DEBIAN / name], check=True)


def test_the_files_of_a_build_have_the_time_of_the_commit(tmp_path: Path) -> None:
    """A checkout that is older than its commit, as after `git pull`, makes no other package."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a clone")
    body = re.search(r"^assemble\(\) \{\n.*?^\}\n", (DEBIAN / "build").read_text(), re.MULTILINE | re.DOTALL)
    assert body
    settings = {"release": "trixie", "version": "1", "maintainer": "nobody", "SOURCE_DATE_EPOCH": "1500000000"}
    script = f'set -eu\n{body[0]}assemble "$0"'
    subprocess.run(["sh", "-c", script, tmp_path / "source"], check=True, cwd=CHECKOUT, env={**os.environ, **settings})
    times = {path.lstat().st_mtime for path in (tmp_path / "source").rglob("*")}
    assert times == {1_500_000_000.0}


def test_wheel_and_sdist_are_reproducible(tmp_path: Path) -> None:
    """A later build from files of another time gives the same bytes."""
    built: list[dict[str, bytes]] = []
    for number, time in enumerate((1_500_000_000, 1_600_000_000)):
        source, target = tmp_path / f"source{number}", tmp_path / f"target{number}"
        target.mkdir()
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(CHECKOUT / "miltscan", source / "miltscan", ignore=ignored)
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(CHECKOUT / name, source)
        for path in source.rglob("*"):
            os.utime(path, (time, time))
        command: list[str | Path] = [sys.executable, DEPLOY / "distributions.py", target]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
        subprocess.run(
            command, check=True, cwd=source, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        built.append({path.name: path.read_bytes() for path in target.iterdir()})
    assert built[0] == built[1]
    assert len(built[0]) == 2
