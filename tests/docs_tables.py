"""The tables of docs/load.md, from `engine/load/schema.py`; `python -m tests.docs_tables` writes them anew."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.load.schema import (
    LEVELS,
    LOCATIONS,
    NETWORK,
    NETWORK_TABLES,
    PROFILE,
    SKUS,
    Column,
    Named,
    Section,
)

LOAD = Path(__file__).parents[1] / "docs" / "load.md"
DOCUMENTED: dict[str, Mapping[str, Column | Section | Named]] = {
    **{table.name: table.columns for table in (LOCATIONS, SKUS, LEVELS)},
    "network.toml": NETWORK.keys,
    **{f"network/{table.name}": table.columns for table in NETWORK_TABLES},
    "profiles/*.toml": PROFILE.keys,
}
"""Columns and keys by file."""
TABLE = re.compile(r"(?m)^\| (?:column|key) \| what it is \|.*\n(?:\|.*\n)+")


def documented(name: str) -> str:
    """The table for one file."""
    is_toml = name.endswith(".toml")
    rows = [f"| {'key' if is_toml else 'column'} | what it is | value | if absent |", "|---|---|---|---|"]
    for path, column in leaves(DOCUMENTED[name]):
        expected = column.kind.expected_in_toml if is_toml else column.kind.expected
        default = "required" if column.is_required else column.default or "none"
        rows.append(f"| `{path}` | {column.says} | {expected} | {default} |".replace('"|"', "`\\|`"))
    return "\n".join(rows)


def leaves(columns: Mapping[str, Column | Section | Named], prefix: str = "") -> Iterator[tuple[str, Column]]:
    for name, each in columns.items():
        path = f"{prefix}{name}"
        content = each.content if isinstance(each, Named) else each
        if isinstance(each, Named):
            path = f"{path}.NAME"
        if isinstance(content, Column):
            yield path, content
        else:
            yield from leaves(content.keys, f"{path}.")


def with_tables(page: str) -> str:
    """The page with each of its tables as it should be: they stand in the order of DOCUMENTED."""
    names = iter(DOCUMENTED)
    told = TABLE.sub(lambda _: f"{documented(next(names))}\n", page)
    assert next(names, None) is None, "a table for each file"
    return told


if __name__ == "__main__":
    LOAD.write_text(with_tables(LOAD.read_text()))
