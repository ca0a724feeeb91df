"""The commands of the pages do what the pages show, in a running sandwich in place of a host."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo import __main__ as demonstration
from tests.harness import messages, programs
from tests.harness.console import Console, examples
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import private_folder

PAGES = ("docs/first-day.md", "docs/troubleshooting.md")


def console(sandwich: ScanningSandwich) -> Console:
    """A shell in which `miltscan`, `swaks` and `systemctl` act on this sandwich."""
    folder, miltscan = sandwich.folder, sandwich.miltscan
    scripted = folder / "scripts"
    scripted.mkdir(exist_ok=True)
    service = f"{sys.executable} -m miltscan"
    configured, logs = f"--config {miltscan.configuration}", f"--log {sandwich.syslog.file} --log {folder}/milter.log"
    doctor = f"--incoming {folder}/incoming.cf --delivery {folder}/delivery.cf --log {sandwich.syslog.file}"
    scripts = {
        "miltscan": f"""\
case "$*" in
    trace*) set -- "$@" {logs} ;;
    policy*--config*) set -- "$@" {logs} ;;
    *--config*) ;;
    allow*--from* | policy*explain*) set -- "$@" {configured} {logs} ;;
    doctor*) set -- "$@" {configured} {doctor} ;;
    *) set -- "$@" {configured} ;;
esac
exec {service} "$@\"""",
        "swaks": f'exec /usr/bin/swaks --port {sandwich.incoming.port} --from sender@example.org "$@"',
        # each worker reports that it uses the new settings; an administrator types more slowly than that
        "systemctl": f"""\
reloaded() {{ grep -c '"event":"reloaded"' {folder}/milter.log; }}
before=$(reloaded)
kill -HUP {miltscan.running.pid}
until [ "$(reloaded)" -ge "$((before + {len(miltscan.workers())}))" ]; do sleep 0.1; done""",
        "journalctl": f"cat {folder}/milter.log",
    }
    for name, text in scripts.items():
        (scripted / name).write_text(f"#!/bin/sh\n{text}\n")
        (scripted / name).chmod(0o755)
    replaced = {
        "127.0.0.1:9464": f"127.0.0.1:{miltscan.exporter_port}",
        "/etc/miltscan/miltscan.toml": str(miltscan.configuration),
        "/tmp/": f"{scripted}/",  # noqa: S108 - what the page says
    }
    return Console(scripted, replaced)


@pytest.fixture
def host() -> Iterator[Console]:
    """A sandwich of its own, because the pages change its configuration."""
    with private_folder() as folder, ScanningSandwich(folder) as sandwich:
        shell = console(sandwich)
        (shell.folder / "eicar.eml").write_bytes(messages.as_wire(messages.infected()))
        yield shell


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page(host: Console, name: str) -> None:
    """Each command of the page prints the lines that the page shows, in order."""
    found = [*examples((CHECKOUT / name).read_text())]
    assert found
    assert [problem for example in found if (problem := host.missing(example))] == []


def test_the_commands_of_the_readme(host: Console) -> None:
    """README.md's commands for a running host end without a usage error; 1 is a warning about the test's host."""
    found = re.findall(r"^ {4}(miltscan .*)$", (CHECKOUT / "README.md").read_text(), re.MULTILINE)
    assert {host.run(command).returncode for command in found} <= {0, 1}


def test_the_commands_of_the_policies(host: Console) -> None:
    """Each command of docs/policies.md succeeds for a message that was refused."""
    reply = host.run("swaks --server 127.0.0.1 --to you@example.test --data @/tmp/eicar.eml").stdout
    host.ids["6AMG4FAU001849"] = re.findall(r"550 5\.7\.1 .*\((\w+)\)", reply)[0]
    host.run("cp /etc/miltscan/miltscan.toml /tmp/candidate.toml")
    host.ids["./candidate.toml"] = str(host.folder / "candidate.toml")
    page = (CHECKOUT / "docs" / "policies.md").read_text()
    found = re.findall(r"^ +((?:miltscan|journalctl) .*)$", page, re.MULTILINE)
    wait_until(lambda: host.run(found[0]).returncode == 0, PATIENCE, "the message in the logs")
    for command in dict.fromkeys(found):  # the page has some twice
        result = host.run(command + " --yes" * command.startswith("miltscan allow"))
        assert result.returncode == 0, result.stdout


def test_the_filters_of_a_page_build(tmp_path: Path) -> None:
    """The lines of docs/other-milters.md give incoming the order that the page has, and delivery no filter."""
    page = (CHECKOUT / "docs" / "other-milters.md").read_text()
    lines = re.findall(r"^ {4}((?:MAIL_FILTER|define)\(.*)$", page, re.MULTILINE)
    assert len(lines) == 3
    (tmp_path / "filters.m4").write_text("\n".join(lines) + "\n")
    (tmp_path / "site.m4").write_text(f"define(`SITE_INCOMING', `{tmp_path}/filters.m4')dnl\n")
    build = ["make", "-s", "-C", f"{CHECKOUT}/sendmail", f"OUT={tmp_path}", f"SITE={tmp_path}/site.m4"]
    subprocess.run([*build, f"CF_DIR={programs.data('/usr/share/sendmail/cf')}"], check=True, capture_output=True)
    assert "\nO InputMailFilters=opendkim, opendmarc, miltscan\n" in (tmp_path / "incoming.cf").read_text()
    assert "\nO InputMailFilters" not in (tmp_path / "delivery.cf").read_text()


def test_the_demonstration_of_the_readme() -> None:
    """`KEEP=1 make demo` shows mail that ends as expected, and `make demo-stop` ends it."""
    readme = (CHECKOUT / "README.md").read_text()
    assert all(command in readme for command in ("    make demo ", "`KEEP=1 make demo`", "`make demo-stop`"))
    if demonstration.FOLDER.exists():
        pytest.skip("a demonstration is running")
    try:
        shown = make("demo", KEEP="1")
        assert "messages ended as expected" in shown
    finally:
        ended = make("demo-stop")
    assert re.search(r"^Ended: clamd, delivery, incoming, mailbox, milter,", ended, re.MULTILINE)
    assert not demonstration.FOLDER.exists()


def make(target: str, **settings: str) -> str:
    """What `make` prints; CalledProcessError if it fails."""
    environment = {**os.environ, **settings}
    return subprocess.run(
        ["make", "-C", CHECKOUT, target], check=True, capture_output=True, text=True, env=environment
    ).stdout
