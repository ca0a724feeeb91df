"""The layers: a module imports only from rows below its own, and each third party has one door."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROWS = (
    ("__main__",),
    ("cli",),
    ("commands.*",),
    ("service.run",),
    ("service.children",),
    ("service.prober",),
    ("service.worker", "service.exporter", "service.tracer", "service.scan", "sandwich.*", "migration.*"),
    ("service.check", "service.http", "service.measure", "service.newkey", "service.doors"),
    ("service.accesscheck", "service.clamdcheck"),
    ("status.*",),
    (
        "service.access",
        "service.gate",
        "service.supervisor",
        "service.listener",
        "service.milter",
        "service.clamdconf",
        "service.servers",
    ),
    ("service.conversation", "service.probing", "config.*"),
    ("service.receipts",),
    ("service.pipeline",),
    (
        "service.spool",
        "service.pool",
        "service.admission",
        "service.signals",
        "service.notify",
        "service.credentials",
        "service.exchange",
        "engines.*",
        "telemetry.*",
        "quarantine.*",
        "sandwich.queues",
    ),
    ("core.*",),
    ("errors",),
)
SIBLINGS = (
    *("commands.*", "config.*", "core.*", "engines.*", "telemetry.*", "quarantine.*", "sandwich.*", "migration.*"),
    "status.*",
)
"""Packages whose modules may import each other within their row."""
DOORS = {
    "milter": ("service.milter",),
    "Milter": (),
    "pyclamd": ("engines.*",),
    "prometheus_client": ("telemetry.*", "service.exporter"),
    "bcrypt": ("service.credentials",),
    "h11": ("service.exchange",),
    "structlog": ("telemetry.log",),
    "typer": ("cli", "commands.*"),
    "opentelemetry": ("service.tracer",),
    "rich": ("commands.trace",),
    "pydantic": ("config.*",),
    "pydantic_core": ("config.*",),
}
TYPES = "structlog.typing*"
"""The type of a logger is named wherever one is handed on; structlog is set up in one place."""
IMPURE = {"asyncio", "io", "logging", "os", "pathlib", "random", "select", "socket", "subprocess", "tempfile"}
IMPURE |= {"threading", "time", "datetime"}
PACKAGE = Path(__file__).parents[2] / "miltscan"


def modules() -> dict[str, Path]:
    """All modules of the package by their dotted name below it; the empty `__init__` files left out."""
    files = [file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py"]
    return {".".join(file.relative_to(PACKAGE).with_suffix("").parts): file for file in files}


def imports(source: str) -> Iterator[str]:
    """The modules that `source` imports, anywhere in it; of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def row(module: str) -> int:
    """The number of the module's row, from the top; its own name wins over a pattern."""
    named = [number for number, names in enumerate(ROWS) if module in names]
    found = named or [number for number, names in enumerate(ROWS) if any(fnmatch(module, name) for name in names)]
    assert len(found) == 1, f"{module} has to be in one row of ROWS"
    return found[0]


def allowed(importer: str, imported: str) -> bool:
    """Whether one module of ours may import another."""
    together = any(fnmatch(importer, pattern) and fnmatch(imported, pattern) for pattern in SIBLINGS)
    return row(importer) < row(imported) or together


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_rows_below(module: str) -> None:
    """The rows are those of the design; a new module has to be given its place."""
    ours = modules()
    names = {f"miltscan.{name}": name for name in ours}
    used = [names[name] for name in imports(ours[module].read_text()) if name in names]
    assert row(module) >= 0
    assert [name for name in used if not allowed(module, name)] == []


@pytest.mark.parametrize("module", modules())
def test_a_third_party_has_one_door(module: str) -> None:
    """What is imported in one place can be replaced in one place."""
    used = {name.partition(".")[0] for name in imports(modules()[module].read_text()) if not fnmatch(name, TYPES)}
    wrong = [name for name in used & DOORS.keys() if not any(fnmatch(module, door) for door in DOORS[name])]
    assert wrong == []


@pytest.mark.parametrize("module", [name for name in modules() if name.startswith("core.")])
def test_the_core_is_pure(module: str) -> None:
    """No socket, file, clock, thread or log."""
    used = {name.partition(".")[0] for name in imports(modules()[module].read_text())}
    assert used & IMPURE == set()


def test_imports_are_absolute() -> None:
    """The walk above reads no relative names."""
    assert [name for name, file in modules().items() if "." in {*imports(file.read_text())}] == []


@pytest.mark.parametrize(
    ("importer", "imported", "right"),
    [
        ("cli", "commands.scan", True),
        ("commands.service", "service.run", True),
        ("service.worker", "service.milter", True),
        ("service.pipeline", "engines.base", True),
        ("engines.clamd", "engines.base", True),
        ("config.render", "config.settings", True),
        ("core.policy", "core.verdict", True),
        ("core.policy", "engines.base", False),
        ("engines.clamd", "telemetry.metrics", False),
        ("service.supervisor", "service.worker", False),
        ("service.pipeline", "config.settings", False),
        ("service.pipeline", "service.milter", False),
    ],
)
def test_the_rule_tells_right_from_wrong(importer: str, imported: str, *, right: bool) -> None:
    """A rule that allows everything would never be noticed."""
    assert allowed(importer, imported) is right


def test_every_way_to_import_is_seen() -> None:
    """At the top, within a function, by either statement."""
    source = "import a.b\ndef f():\n    from c import d\n    from . import e\n"
    assert [*imports(source)] == ["a.b", "c", "c.d", ".", "None.e"]
