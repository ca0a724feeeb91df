"""docs/policies.md has the configurations of the cases tests/corpus/decisions/policy-*.txt, in their order."""

import re
import tomllib
from pathlib import Path

from miltscan.config.load import parse_settings
from tests.harness.decisions import Case, cases

PAGE = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
BLOCK = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def policies() -> list[Case]:
    """The cases of the page by number."""
    return sorted((case for case in cases("unit") if case.name.startswith("policy-")), key=lambda case: case.name)


def test_each_block_is_the_configuration_of_a_case() -> None:
    """What the page shows is what the tests run: a change of one without the other is an error."""
    assert [case.configuration.strip() for case in policies()] == [block.strip() for block in BLOCK.findall(PAGE)]


def test_the_page_has_twenty_five_policies() -> None:
    """They are numbered from 01 without a gap, and the page has a heading with the number of each."""
    numbers = [int(case.name.split("-")[1]) for case in policies()]
    assert numbers == [*range(1, 26)]
    assert [int(number) for number in re.findall(r"^### (\d+)\. ", PAGE, re.MULTILINE)] == numbers


def test_the_policies_fit_one_file() -> None:
    """Their rules have different names, so that an administrator can use several of them."""
    names = [rule["name"] for case in policies() for rule in tomllib.loads(case.configuration).get("rule", [])]
    assert sorted({*names}) == sorted(names)
    assert all(parse_settings(case.configuration.encode(), case.name).rule for case in policies())
