"""The Debian package on a booted machine, in this order: install, upgrade, reinstallation of the others, reboot, purge.

Mail flows meanwhile.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_archives import seven_zip
from tests.harness.messages import as_wire, clean_attachment, with_attachment
from tests.harness.processes import ProgramError, wait_until
from tests.harness.programs import CHECKOUT
from tests.systems.installed import SITE
from tests.systems.machine import PATIENCE, Machine
from tests.systems.test_installed import mail_flows
from tests.systems.traffic import DELIVERY_TIMEOUT, Traffic, traffic
from tests.systems.tree import SITE as NAMES
from tests.systems.tree import SWITCH, packaged, remove

SUFFIX = {"bookworm": "~deb12", "trixie": "~deb13"}  # of the version: deploy/debian/build
BUILD_TIMEOUT = 1800  # seconds, with debootstrap
QUEUE = "/var/spool/mqueuedelivery"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet install"
COMPLETE = """\
test "$(head -n 1 /usr/share/zsh/vendor-completions/_miltscan)" = '#compdef miltscan'
bash -ec '. /usr/share/bash-completion/completions/miltscan
    COMP_WORDS=(miltscan quarantine rel) COMP_CWORD=2
    _miltscan_completion miltscan
    echo "${COMPREPLY[@]}"'
"""
"""Prints what bash completes `miltscan quarantine rel` to."""
EXPECTED = re.compile(r"/var/cache/apt/|/root/|/var/log/|/var/lib/systemd/deb-systemd-|/sys/|/proc/|/run/systemd/")
"""Where something may be named miltscan after the package is purged: the packages themselves, logs, the kernel."""


def package_of(release: str, request: pytest.FixtureRequest) -> Path:
    """The package of a release: that of the option, or one of this checkout."""
    given: Path | None = request.config.getoption("--package")
    if given and given.is_dir():
        return next(given.glob(f"*{SUFFIX[release]}*.deb"))
    return given or build(release)


def build(release: str) -> Path:
    """The package of this checkout, without the unit tests."""
    command: list[str | Path] = [CHECKOUT / "deploy/debian/build", release]
    environment = {**os.environ, "DEB_BUILD_OPTIONS": "nocheck"}
    built = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True, timeout=BUILD_TIMEOUT
    )
    return Path(CHECKOUT, built.stdout.strip())


def newer(package: Path, folder: Path) -> Path:
    """The same package with a higher version."""
    contents = folder / "contents"
    subprocess.run(["dpkg-deb", "--raw-extract", package, contents], check=True)
    control = contents / "DEBIAN" / "control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+1", control.read_text(), flags=re.MULTILINE))
    made = folder / "newer.deb"
    subprocess.run(["dpkg-deb", "--build", "-Zgzip", contents, made], check=True, stdout=subprocess.DEVNULL)
    return made


def blocks(heading: str) -> Iterator[str]:
    """The commands of a section of docs/packages.md, in their order."""
    section = (CHECKOUT / "docs/packages.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for line in re.findall(r"^ {4,7}(\S.*)$", section, re.MULTILINE):
        yield line.partition("    #")[0].strip()


def test_lintian(release: str, request: pytest.FixtureRequest) -> None:
    """The package follows Debian's policy, as far as lintian of this host knows it: no error and no warning."""
    command: list[str | Path] = ["lintian", "--fail-on", "error,warning", package_of(release, request)]
    checked = subprocess.run(command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def bare(
    release: str, cache: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A booted Debian with the package and a newer one in /root, and nothing of it installed."""
    package = package_of(release, request)
    tree = packaged(cache, release, package)
    newer(package, tmp_path_factory.mktemp("newer")).rename(tree / "root" / "newer.deb")
    (tree / "root" / package.name).rename(tree / "root" / "miltscan_first.deb")
    with Machine(tree) as machine:
        yield machine
    remove(tree)


def install(machine: Machine) -> None:
    """Follows docs/packages.md from a bare Debian to the running sandwich."""
    for command in blocks("By hand"):
        if command.startswith("apt-get"):
            machine.run(f"{INSTALL} /root/miltscan_first.deb")
            machine.file(SWITCH).write_text(NAMES[SWITCH])
        elif not command.startswith("until "):  # the test database replaces freshclam's
            machine.run(command)
        if command.startswith("cp ") and command.endswith("/etc/mail/site.m4"):
            with machine.file("/etc/mail/site.m4").open("a") as file:
                file.write(SITE)


def left(machine: Machine) -> list[str]:
    """Every path that is named after the package, but the expected ones."""
    found = machine.run("find / -path /proc -prune -o -path /sys -prune -o -name '*miltscan*' -print").splitlines()
    return [path for path in found if not EXPECTED.match(path)]


def wait_until_sendmail_is_back(machine: Machine) -> None:
    """Returns when the distribution's sendmail serves port 25; it will after a reboot, too."""
    assert machine.run("systemctl is-enabled sendmail") == "enabled\n"
    listening = "ss -Hltnp 'sport = :25' | grep sendmail"
    wait_until(lambda: machine.succeeds(listening), PATIENCE, "the distribution's sendmail on port 25")


def wait_until_delivered(machine: Machine) -> None:
    """Returns when the delivery queue has no message; it is run now, since a deferred message waits for minutes.

    A data file without a control file stays for ever, as of a session that ended before its 250: it is not delivered.
    That no accepted message is missing is shown by `ends_well`.
    """

    def delivered() -> bool:
        return not machine.run(f"sendmail -C /etc/mail/delivery.cf -q; find {QUEUE} -name '[qhQ]f*'")

    wait_until(delivered, PATIENCE, "a delivery queue without messages")


@pytest.fixture(scope="module")
def sandwich(bare: Machine) -> Machine:
    """The machine on which the package is installed and the sandwich runs."""
    install(bare)
    return bare


def ends_well(machine: Machine, seen: Traffic) -> None:
    """No infected message was accepted, and each clean one that was is delivered once mail flows again.

    Otherwise the report has what the log says of the first messages that are not.
    """
    assert 250 not in seen.infected
    mail_flows(machine)
    try:
        wait_until(lambda: not seen.missing(machine), DELIVERY_TIMEOUT, "accepted messages in the mailbox")
    except ProgramError:
        missing = seen.missing(machine)
        lines = "; ".join(f"miltscan trace '{one}' || true" for one in missing[:3])
        print(len(missing), machine.run(f"{lines}; ls -l {QUEUE} /var/spool/mqueue"))  # noqa: T201  # pytest shows it
        raise


def test_install(sandwich: Machine) -> None:
    """The commands of docs/packages.md succeed: mail flows, no check fails, pages and completion exist."""
    mail_flows(sandwich)
    sandwich.run("miltscan check; test -e /usr/share/man/man5/miltscan.toml.5.gz")
    assert sandwich.run(COMPLETE) == "release\n"


def test_upgrade(sandwich: Machine) -> None:
    """No mail is refused while a newer package replaces the running one."""
    before = sandwich.run("systemctl show -P MainPID miltscan")
    with traffic(sandwich) as seen:
        sandwich.run(f"{INSTALL} /root/newer.deb")
    assert len(seen.clean) > 5
    assert {*seen.clean} == {250}
    assert sandwich.run("systemctl show -P MainPID miltscan") != before
    ends_well(sandwich, seen)


def test_reinstallation_of_the_others(sandwich: Machine) -> None:
    """While the packages of sendmail and clamd are installed again, clients may have to retry, but no mail is lost."""
    with traffic(sandwich) as seen:
        sandwich.run(f"{INSTALL} --reinstall sendmail-bin clamav-daemon")
        wait_until(lambda: 250 in seen.clean[-3:], DELIVERY_TIMEOUT, "mail that is accepted again")
    ends_well(sandwich, seen)
    assert sandwich.run("systemctl is-enabled sendmail || true") == "masked\n"


def test_reboot(sandwich: Machine) -> None:
    """After a reboot every unit runs, and mail flows."""
    sandwich.reboot()
    assert "miltscan" not in sandwich.run("systemctl --failed --plain --no-legend")
    mail_flows(sandwich)


@pytest.fixture
def enforced(tmp_path: Path) -> Iterator[None]:
    """The profile of the package refuses in this kernel, which the machine shares, what it reports otherwise."""
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if not (enabled.exists() and enabled.read_text().startswith("Y")):
        pytest.skip("this kernel has no AppArmor")
    profile = tmp_path / "miltscan"
    text = (CHECKOUT / "deploy/apparmor/miltscan").read_text()
    profile.write_text(text.replace(" flags=(complain)", ""))
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache", profile], check=True)
    yield
    subprocess.run(["apparmor_parser", "--remove", profile], check=True)


@pytest.mark.usefixtures("enforced")
def test_apparmor(sandwich: Machine, tmp_path: Path) -> None:
    """With its profile enforced, the service starts, reloads, scans messages in files and opens archives."""
    sandwich.run("systemctl restart miltscan; systemctl reload miltscan")
    assert sandwich.run("cat /proc/$(systemctl show -P MainPID miltscan)/attr/current") == "miltscan (enforce)\n"
    mail_flows(sandwich)
    assert sandwich.send(as_wire(clean_attachment(3_000_000))).code == 250
    archive = seven_zip(tmp_path, "-tzip", "-mm=PPMd")
    assert sandwich.send(as_wire(with_attachment("7-Zip", archive, "a.zip"))).code == 550
    sandwich.run(
        "miltscan check; miltscan doctor --send | tee /dev/stderr | grep '^errors: 0'; systemctl restart miltscan"
    )


def test_removal(sandwich: Machine) -> None:
    """Removed, nothing accepts mail; purged, nothing is left; then the distribution's sendmail starts again."""
    wait_until_delivered(sandwich)
    sandwich.run("apt-get --yes remove miltscan")
    assert sandwich.run("systemctl list-units --plain --no-legend 'miltscan*'") == ""
    assert not sandwich.succeeds("ss -Hltn 'sport = :25 or sport = :19000' | grep .")
    sandwich.run("apt-get --yes purge miltscan")
    for command in blocks("Back by hand"):
        sandwich.run(command)
    assert left(sandwich) == []
    wait_until_sendmail_is_back(sandwich)
