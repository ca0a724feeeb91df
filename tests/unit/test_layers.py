"""The layers: packages import downwards only, without circles, and each third party has one package."""

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "miltscan"
ALL = frozenset(
    {
        "setup",
        "daemon",
        "doctor",
        "exporter",
        "milter",
        "scanning",
        "status",
        "trace",
        "migration",
        "quarantine",
        "engines",
    }
    | {"unpacker", "sandwich", "telemetry", "processes", "config", "core"}
)
TABLE: Mapping[str, frozenset[str]] = {
    "__main__": frozenset({"cli"}),
    "cli": frozenset({"commands"}),
    "commands": ALL,
    "setup": frozenset({"doctor", "sandwich", "config", "core"}),
    "daemon": ALL - {"setup", "daemon", "doctor", "trace", "migration", "engines", "unpacker"},
    "doctor": ALL - {"setup", "doctor", "daemon", "milter", "status", "trace", "migration"},
    "exporter": frozenset({"status", "sandwich", "telemetry", "processes", "config", "core"}),
    "milter": frozenset({"scanning", "core"}),
    "scanning": frozenset({"engines", "unpacker", "quarantine", "sandwich", "telemetry", "config", "core"}),
    "status": frozenset({"telemetry", "config", "core"}),
    "trace": frozenset({"sandwich", "core"}),
    "migration": frozenset({"config", "core"}),
    "quarantine": frozenset({"sandwich", "core"}),
    "engines": frozenset({"core"}),
    "unpacker": frozenset({"core"}),
    "sandwich": frozenset({"config", "core"}),
    "telemetry": frozenset({"config", "core"}),
    "processes": frozenset({"core"}),
    "config": frozenset({"core"}),
    "core": frozenset(),
    "errors": frozenset(),
}
"""What each package may import, in the order of import. All may import `errors`."""
ARCHITECTURE = PACKAGE.parent / "docs" / "ARCHITECTURE.md"
"""The page that shows the table."""
THIRD_PARTIES: Mapping[str, frozenset[str]] = {
    "milter": frozenset({"milter"}),
    "Milter": frozenset(),
    "pyclamd": frozenset({"engines"}),
    "prometheus_client": frozenset({"telemetry", "exporter"}),
    "bcrypt": frozenset({"exporter"}),
    "jinja2": frozenset({"quarantine"}),
    "h11": frozenset({"exporter", "engines"}),
    "structlog": frozenset({"telemetry"}),
    "typer": frozenset({"cli", "commands"}),
    "opentelemetry": frozenset({"daemon"}),
    "rich": frozenset({"commands"}),
    "sqlalchemy": frozenset({"quarantine"}),
    "psycopg": frozenset(),  # SQLAlchemy imports it
    "zstandard": frozenset({"quarantine"}),
    "pyrage": frozenset({"quarantine"}),
    "pydantic": frozenset({"config"}),
    "pydantic_core": frozenset({"config"}),
}
ALSO = "structlog.typing"
"""The type of a logger is named wherever one is passed on."""
IMPURE = frozenset(
    {"asyncio", "datetime", "io", "logging", "os", "pathlib", "random", "select", "socket", "subprocess", "tempfile"}
    | {"threading", "time"}
)


@cache
def imports(source: str) -> tuple[str, ...]:
    """The modules that `source` imports, anywhere in it; of `from a import b` both a and a.b."""
    found = list[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return tuple(found)


def package(dotted: str) -> str:
    """The package of a module of ours, by its dotted name below miltscan."""
    return dotted.partition(".")[0]


def sources() -> dict[str, str]:
    """The text of each module by its dotted name below miltscan."""
    files = {file.relative_to(PACKAGE).with_suffix(""): file for file in PACKAGE.rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): file.read_text() for name, file in files.items()}


def ours(source: str) -> set[str]:
    """The packages of ours that `source` imports."""
    names = (name.removeprefix("miltscan.") for name in imports(source) if name.startswith("miltscan."))
    return {package(name) for name in names if package(name) in TABLE}


def upward(modules: Mapping[str, str]) -> list[str]:
    """The imports that TABLE does not allow, a line each."""
    return [
        f"{module} imports {used}"
        for module, source in modules.items()
        for used in sorted(ours(source) - {package(module), "errors"} - TABLE.get(package(module), frozenset()))
        if module != "__init__"
    ]


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """The first circle in a graph; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_packages_import_downwards_only() -> None:
    """No module imports a package that its own may not import, not even inside a function."""
    modules = sources()
    assert {package(name) for name in modules} - {"__init__"} <= set(TABLE)
    assert upward(modules) == []


def test_the_table_goes_downwards() -> None:
    """A row of TABLE names only rows below itself, so there is no circle between packages."""
    rows = [*TABLE]
    assert [(name, used) for name in rows for used in TABLE[name] if rows.index(used) <= rows.index(name)] == []


def test_modules_form_no_circle() -> None:
    """No module imports itself by way of others, within a package either."""
    modules = sources()
    names = {f"miltscan.{name}": name for name in modules}
    assert (
        circle({name: {names[used] for used in imports(text) if used in names} for name, text in modules.items()}) == []
    )


def test_a_third_party_has_one_package() -> None:
    """What is imported in one place can be replaced in one place."""
    wrong = [
        f"{module} imports {used}"
        for module, source in sources().items()
        for used in imports(source)
        if package(module) not in THIRD_PARTIES.get(package(used), {package(module)}) and not used.startswith(ALSO)
    ]
    assert wrong == []


def test_the_core_is_pure() -> None:
    """The core imports no socket, file, clock, thread or log."""
    modules = {name: text for name, text in sources().items() if package(name) == "core"}
    assert [(name, used) for name, text in modules.items() for used in imports(text) if package(used) in IMPURE] == []


def test_imports_are_absolute() -> None:
    """The walk above reads no relative names."""
    assert [name for name, text in sources().items() if any(used.startswith(".") for used in imports(text))] == []


SHADOWS = {"trace": "the command's name; imports are absolute, so it hides no module"}
"""The names of modules and packages that the standard library has, too, each with the reason."""


def test_no_module_shadows_the_standard_library() -> None:
    """A reader takes the name of a standard module for that module."""
    parts = {part for name in sources() for part in name.split(".")}
    assert parts & set(sys.stdlib_module_names) - {"__init__", "__main__"} == set(SHADOWS)


@pytest.mark.parametrize(
    "source",
    [
        "from miltscan.engines.base import Engine\n",
        "import miltscan.engines.base\n",
        "def late():\n    from miltscan.engines import base\n",
        "if TYPE_CHECKING:\n    from miltscan.engines.base import Engine\n",
    ],
)
def test_an_upward_import_is_found(source: str) -> None:
    """An import of a higher package is found wherever it stands."""
    assert upward({"core.policy": source}) == ["core.policy imports engines"]


def test_a_circle_is_found() -> None:
    """A circle is named by its members."""
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def table(page: str) -> dict[str, frozenset[str]]:
    """The table of packages on a page, as TABLE."""
    rows = re.findall(r"^\| `([\w]+)(?:/|\.py)` \| [^|]+ \| ([^|`]+) \|$", page, re.MULTILINE)
    below = frozenset(name for name, _ in rows) - {"errors"}
    shown = {}
    for name, imports in rows:
        below -= {name}
        shown[name] = below if imports == "everything below" else frozenset(re.findall(r"\w+", imports))
    return shown


def missing(page: str) -> list[str]:
    """The files and folders that a page names and that do not exist, by path in the checkout or in the package."""
    named = re.findall(r"`([\w./-]+(?:/|\.(?:py|md)))`", page)
    return [name for name in named if not ((PACKAGE / name).exists() or (PACKAGE.parent / name).exists())]


def test_the_architecture_page_shows_the_table() -> None:
    """The page has the rows of TABLE in their order, except packages that do not exist yet."""
    exist = [name for name in TABLE if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()]
    shown = table(ARCHITECTURE.read_text())
    assert [*shown] == exist
    assert shown == {name: TABLE[name].intersection(exist) for name in exist}


def test_the_architecture_page_names_files_that_exist() -> None:
    """A file that is moved is moved on the page, too."""
    assert missing(ARCHITECTURE.read_text()) == []


def test_a_missing_file_is_found() -> None:
    """Files of the package, files and folders of the checkout, and what does not exist."""
    page = "`core/policy.py` `docs/lab/` `make dashboard` `miltscan/` `core/police.py` `docs/lob/`"
    assert missing(page) == ["core/police.py", "docs/lob/"]
