"""One concept has one name: no public class or function is defined twice, and each test has a docstring."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
TWICE: Mapping[str, str] = {}
"""Public names that are defined more than once, each with the reason."""
FEWEST_WORDS = 4


def definitions(source: str) -> Iterator[str]:
    """The public classes and functions at the top level of a module, also those below an `if` or `try`."""
    found: list[ast.AST] = [ast.parse(source)]
    while found:
        for node in ast.iter_child_nodes(found.pop()):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                if not node.name.startswith("_"):
                    yield node.name
            elif isinstance(node, ast.If | ast.Try):
                found.append(node)


def test_no_public_name_is_defined_twice() -> None:
    """A name that stands for two things would have to be read with its module every time."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "miltscan").rglob("*.py")):
        for name in definitions(path.read_text()):
            places[name].append(str(path.relative_to(ROOT)))
    twice = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in TWICE} == {}
    assert TWICE.keys() - twice.keys() == set()


def test_definitions_are_found() -> None:
    """Classes and functions count, methods and private names do not, nor what a function defines inside."""
    classes = "class A:\n    def b(self): ...\nif A:\n    class F: ..."
    functions = "def c():\n    def d(): ...\ndef _e(): ...\nasync def g(): ..."
    source = f"{classes}\n{functions}"
    assert sorted(definitions(source)) == ["A", "F", "c", "g"]


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Name and docstring of every test function of a file: none is in a class."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node.name, ast.get_docstring(node) or ""


def test_a_tests_docstring_is_a_sentence() -> None:
    """It has at least four words, and ends as a sentence does."""
    tests = [(path, *found) for path in sorted((ROOT / "tests").rglob("test_*.py")) for found in docstrings(path)]
    wrong = [
        f"{path.relative_to(ROOT)}: {name}: {text}"
        for path, name, text in tests
        if not text.endswith((".", "?")) or len(text.split()) < FEWEST_WORDS
    ]
    assert wrong == []
