"""`make mutants`: changes miltscan in one place at a time and prints the changes that its unit tests do not notice.

The changes are those of cosmic-ray: another operator, another number, the other truth value, an exception that is not
caught, a loop that does not run. Each is made in a copy of this checkout and tried with the unit tests of its module
alone. The order is random but the same for one seed, and the run stops when its time is over. What survived in earlier
runs, and why, stands in docs/lab/mutants.md. cosmic-ray and not mutmut, because mutmut copies only what it mutates,
and these tests read documents and scripts of the whole checkout.
"""

import argparse
import os
import random
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome
from rich.console import Console

from tests.harness.programs import CHECKOUT

PACKAGES = ("core", "engines", "scanning", "config")
LEFT_OUT = ("BitOr", "NoOp", "RemoveDecorator", "_Is_Eq", "_IsNot_NotEq")
"""Operators that say nothing: in types like `A | B`, none, found by mypy, and the same for an enumeration or None."""
PATIENCE = 30.0  # seconds for the tests of one module, which take one or two

screen = Console(highlight=False)


def main() -> int:
    """The exit status: 0, or 2 where tests fail without any change."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("paths", nargs="*", help="modules or packages, such as miltscan/core/policy.py; default: all")
    parser.add_argument("--minutes", type=float, default=30.0, help="when to stop (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the order (default: 1)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="miltscan-mutants-") as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info"))
        os.chdir(copy)
        found = [*modules(options.paths or [f"miltscan/{package}" for package in PACKAGES])]
        for command in {*map(tests_of, found)}:
            if run_tests(command, PATIENCE * 10)[0] != TestOutcome.SURVIVED:
                screen.out(f"This fails without any change: {command}")
                return 2
        changes = [change for module in found for change in changes_of(module, Path(folder))]
        random.Random(options.seed).shuffle(changes)  # noqa: S311 - an order
        tried, survived = attempt(changes, time.monotonic() + options.minutes * 60)
    screen.out(f"{tried} of {len(changes)} changes tried, {survived} survived")
    return 0


def modules(paths: list[str]) -> Iterator[Path]:
    """The modules of these paths that hold more than a docstring."""
    for path in map(Path, paths):
        found = [path] if path.is_file() else sorted(path.rglob("*.py"))
        yield from (module for module in found if module.name != "__init__.py")


def tests_of(module: Path) -> str:
    """The command that runs a module's own unit tests, or those of its package where it has none of its own."""
    folder = Path("tests/unit") / module.parent.relative_to("miltscan")
    own = folder / f"test_{module.stem}.py"
    tests = own if own.exists() else folder
    return shlex.join([sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(tests)])


def changes_of(module: Path, folder: Path) -> list[MutationSpec]:
    """Every change of this module, but for those of decorators: without slots or frozen all works as before."""
    lines = module.read_text().split("\n")
    with use_db(folder / "changes.sqlite", WorkDB.Mode.create) as database:
        init([module], database, {})
        found = [change for item in database.work_items for change in item.mutations]
    wanted = [change for change in found if not any(word in change.operator_name for word in LEFT_OUT)]
    return [change for change in wanted if not lines[change.start_pos[0] - 1].startswith("@")]


def attempt(changes: list[MutationSpec], deadline: float) -> tuple[int, int]:
    """Tries the changes until the deadline and prints each that survives; how many were tried and survived."""
    tried = survived = 0
    for change in changes:
        if time.monotonic() > deadline:
            break
        tried += 1
        result = mutate_and_test([change], tests_of(Path(change.module_path)), PATIENCE)
        if result.test_outcome == TestOutcome.SURVIVED:
            survived += 1
            lines = [line for line in result.diff.split("\n") if line[:1] in {"-", "+"}][3:]  # no names of files
            screen.out(f"{change.module_path}:{change.start_pos[0]}", *lines, sep="\n")
    return tried, survived


if __name__ == "__main__":
    sys.exit(main())
