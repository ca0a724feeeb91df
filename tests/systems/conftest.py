"""The booted machine of the tests, installed as docs/install.md says, and the options of `make test-systems`."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems.installed import install
from tests.systems.machine import Machine
from tests.systems.tree import fresh, remove

RELEASES = ("bookworm", "trixie")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the trees are, and which releases run."""
    parser.addoption("--trees", type=Path, default=Path("/var/cache/miltscan-systems"), help="folder of the trees")
    parser.addoption("--release", action="append", choices=RELEASES, help="a Debian release; all by default")
    parser.addoption(
        "--package", type=Path, help="a Debian package, or a folder with those of both releases; built by default"
    )
    parser.addoption("--images", type=Path, help="folder that keeps the images of test_image.py, and has them already")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test runs on each release, all tests of one release before the next."""
    if "machine" in metafunc.fixturenames:
        releases = metafunc.config.getoption("--release") or RELEASES
        metafunc.parametrize("installed", releases, indirect=True, scope="session")


@pytest.fixture(scope="session")
def cache(request: pytest.FixtureRequest) -> Path:
    """The folder of the trees."""
    folder: Path = request.config.getoption("--trees")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module", params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release that runs, for a machine with the packages."""
    name: str = request.param
    if name not in (request.config.getoption("--release") or RELEASES):
        pytest.skip("another release")
    return name


@pytest.fixture(scope="session")
def installed(request: pytest.FixtureRequest, cache: Path) -> Iterator[Machine]:
    """A machine on which docs/install.md's commands have been run, up to the running sandwich."""
    with (cache / f"{request.param}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one run of a release at a time
        tree = fresh(cache, request.param)
        with Machine(tree) as machine:
            install(machine)
            yield machine
        remove(tree)


@pytest.fixture
def machine(installed: Machine) -> Iterator[Machine]:
    """The machine; after a test that failed, the journal of the test is in the report."""
    began = installed.run("date +%s").strip()
    yield installed
    print(installed.run(f"journalctl --no-pager --since @{began}"))  # noqa: T201  # pytest shows it if the test failed
