"""Every limit that is enforced, read from where it is enforced: value, unit, and the reason that stands there."""

import ast
import importlib
import inspect
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from types import ModuleType
from typing import Any, Final

MODULES: Final[Sequence[str]] = (
    "ledger.core.limits",
    "engine.admission",
    "engine.api.fields",
    "engine.transport",
    "engine.transport.native",
    "engine.transport.grpcio",
)
SUFFIX: Final = "_MAX"
UNITS: Final = {"BYTES": "bytes", "SECONDS": "s", "US": "µs", "MILLIGRAMS": "mg", "QUANTITY": "units", "SIZE": "items"}


def inspect_limits() -> list[dict[str, Any]]:
    """Return every limit: name, value, unit, reason and module."""
    return [limit for name in MODULES for limit in _limits_of(importlib.import_module(name))]


def _limits_of(module: ModuleType) -> Iterator[dict[str, Any]]:
    """Yield the limits that a module defines."""
    source = inspect.getsource(module)
    for statement, following in pairwise([*ast.parse(source).body, ast.Pass()]):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        name = statement.target.id
        if name.endswith(SUFFIX):
            yield {
                "limit": name.lstrip("_").lower(),
                "value": getattr(module, name),
                "unit": _unit_of(name),
                "reason": _text_of(following) or _comment_above(source.splitlines(), statement.lineno),
                "module": module.__name__,
            }


def _unit_of(name: str) -> str:
    """Return the unit at the end of a name; without one, the limit counts what the name says."""
    what = name.lstrip("_").removesuffix(SUFFIX)
    return UNITS.get(what.rpartition("_")[2]) or what.replace("_", " ").lower()


def _text_of(statement: ast.stmt) -> str:
    """Return the text that a statement consists of, on one line; empty if it is something else."""
    match statement:
        case ast.Expr(ast.Constant(str(text))):
            return " ".join(text.split())
    return ""


def _comment_above(lines: Sequence[str], line_number: int) -> str:
    """Return the comment that ends above a line, counted from 1, without its marks."""
    above = list(takewhile(lambda line: line.startswith("#"), reversed(lines[: line_number - 1])))
    return " ".join(line.lstrip("# ") for line in reversed(above))
