"""What each key means: the text below it in the source of its table, read when it is shown.

pydantic could read it for each class (`use_attribute_docstrings`), which takes a tenth of the start of the program.
"""

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

from miltscan.config.table import Table


@cache
def meanings(table: type[Table]) -> Mapping[str, str]:
    """The texts by the names of the keys, those of inherited keys included. Raises OSError without the source."""
    found: dict[str, str] = {}
    for one in reversed(table.__mro__):
        if issubclass(one, Table):
            found.update(_texts(one.__module__)[one.__name__])
    return found


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {one.name: dict(_documented(one.body)) for one in tree.body if isinstance(one, ast.ClassDef)}


def _documented(body: list[ast.stmt]) -> list[tuple[str, str]]:
    return [
        (key.target.id, inspect.cleandoc(text.value.value))
        for key, text in pairwise(body)
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    ]
