"""Every file, setting, key and command that docs/migration.md names exists."""

import re
from pathlib import Path

import pytest

from miltscan.cli import whole_program
from miltscan.config.render import keys
from miltscan.config.settings import Settings
from miltscan.migration import clamav_milter, interscan

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "migration.md").read_text()
QUOTED = re.findall(r"`([^`\n]+)`", PAGE)
STEPS = ["1.", "2.", "3.", "4.-6.", "7.", "8.-9.", "10.", "11.-12.", "13.", "14.", "15.-17.", "18.", "19.", "20."]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if line[:2] == "| "][2:]


def test_every_step_has_one_row() -> None:
    """The table has the steps between the reason, boot, warning and two questions; no cell is empty."""
    table = rows("The sandwich, step by step")
    first = [old.split()[0] for old, _ in table]
    assert first == ["why", *STEPS, "boot:", "warning:", "question:", "question:"]
    assert all(len(row) == 2 and all(row) for row in table)


@pytest.mark.parametrize("name", sorted({name for name in QUOTED if name.startswith(("sendmail/", "deploy/"))}))
def test_a_file_is_there(name: str) -> None:
    """Each file that the page names is in the repository."""
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"SITE_[A-Z_]+", PAGE))))
def test_a_setting_is_one_of_sendmail(name: str) -> None:
    """Each SITE_ setting of the page is in the table of sendmail/README.md."""
    assert f"`{name}`" in (ROOT / "sendmail" / "README.md").read_text()


@pytest.mark.parametrize("name", sorted({name for name in QUOTED if re.fullmatch(r"[a-z]+(\.[a-z_]+)+", name)}))
def test_a_key_is_one_of_ours(name: str) -> None:
    """Each dotted name is a key of miltscan or a file that the import writes."""
    written = {"miltscan.toml", "differences.txt"}
    assert name in {str(key) for key in keys(Settings())} | written


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:^ {4}|`)miltscan ([a-z]+)", PAGE, re.MULTILINE))))
def test_a_command_is_there(name: str) -> None:
    """Each command of the page is one of the program."""
    assert name in vars(whole_program())["commands"]


@pytest.mark.parametrize("unit", sorted(set(re.findall(r"systemctl \w+ ([\w-]+(?:\.\w+)?)", PAGE))))
def test_a_unit_is_there(unit: str) -> None:
    """Each unit that the page names is in deploy/systemd."""
    assert any((ROOT / "deploy" / "systemd" / name).is_file() for name in (unit, f"{unit}.service"))


@pytest.mark.parametrize("name", sorted({name for name in QUOTED if re.fullmatch(r"([A-Z][a-z]+){2,}", name)}))
def test_an_option_is_one_of_clamav_milter(name: str) -> None:
    """Each option of the page is one of clamav-milter."""
    assert name in clamav_milter.OPTIONS


def test_the_keys_of_the_ini_files_are_all_there() -> None:
    """The page has the keys of both formats and the sections in which they are read."""
    both = {
        "imss.ini": (interscan.IMSS_SECTIONS, interscan.IMSS_KEYS),
        "intscan.ini": (interscan.INTSCAN_SECTIONS, interscan.INTSCAN_KEYS),
    }
    expected = [[name, ", ".join(sections), ", ".join(table)] for name, (sections, table) in both.items()]
    assert rows("From imss.ini and intscan.ini") == expected
