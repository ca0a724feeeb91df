"""The manual pages are complete, and man(7) reads them without a warning."""

import shutil
import subprocess

import pytest

from docs.generator.configuration import EVERY_TABLE
from docs.generator.manual import pages
from docs.generator.roff import text
from miltscan.config.render import keys
from tests.unit.test_output import ARGUMENTS

PAGES = pages()


def test_each_command_has_a_page() -> None:
    """Commands, groups and the program itself."""
    commands = {f"miltscan-{name.replace(' ', '-')}.8" for name in ARGUMENTS}
    assert commands < PAGES.keys()
    assert {"miltscan.8", "miltscan-quarantine.8", "miltscan.toml.5"} < PAGES.keys()


def test_each_key_is_explained() -> None:
    """The page of the file has each key below its table."""
    _, *sections = PAGES["miltscan.toml.5"].split('.SH "[')
    found = {
        (section.partition("]")[0], line[3:].partition(" ")[0])
        for section in sections
        for line in section.splitlines()
        if line.startswith("\\fB")
    }
    expected = {(key.table.partition("[")[0], key.name) for key in keys(EVERY_TABLE)}
    assert {(table.replace("-", "\\-"), name) for table, name in expected} == found


def test_a_page_has_options_and_examples() -> None:
    """An option, its meaning, and an example whose lines stay as they are."""
    page = PAGES["miltscan-trace.8"]
    assert '.SH "OPTIONS"' in page
    assert "\\fB\\-l, \\-\\-log FILE\\fR\n" in page
    assert "\nmiltscan trace \\-\\-log /var/log/mail.log \\-\\-json " in page


def test_text_is_no_request() -> None:
    """A line that begins with a dot or an apostrophe, and a backslash, stay text."""
    assert text(".so /etc/passwd\n'a \\fBb `c`") == ".PP\n\\&.so /etc/passwd\n\\&'a \\efBb \\fBc\\fR\n"
    assert text("one ` only") == ".PP\none \\(ga only\n"


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_groff_has_no_warning() -> None:
    """Each page is read without a warning."""
    for name, page in PAGES.items():
        command = ["groff", "-man", "-Tutf8", "-ww", "-z"]
        result = subprocess.run(command, input=page, check=False, capture_output=True, text=True, timeout=60)
        assert (name, result.stderr) == (name, "")
