"""Tables for people: they fit the screen, and no column is so narrow that its words break."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.table import Table

TEXT_WIDTH_MIN: Final = 16
"""A column of texts may become as narrow as this, or as its longest word; others keep the width that they need."""
BORDER_WIDTH: Final = 3


def table_of_one(sections: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return a table of names and values, with a line between its sections."""
    table = Table(title=title, show_header=False)
    table.add_column("name", no_wrap=True)
    table.add_column("value", overflow="fold")
    for section in sections:
        for name, value in section.items():
            table.add_row(name, told(value))
        table.add_section()
    return table


def table_of_many(rows: Sequence[Mapping[str, Any]], title: str, width: int) -> Table:
    """Return a table of the columns that are not empty; where these do not fit, one thing stands below the other."""
    if not rows:
        return table_of_one([{"nothing": ""}], title)
    names = [name for name in rows[0] if any(row[name] not in ("", None) for row in rows)]
    needed = {name: max(cell_len(name), *(_width_of(row[name]) for row in rows)) for name in names}
    least = {
        name: min(needed[name], max(TEXT_WIDTH_MIN, *(_word_width_of(row[name]) for row in rows))) for name in names
    }
    if sum(least.values()) + BORDER_WIDTH * len(names) + 1 > width:
        return table_of_one([_not_empty(row) for row in rows], title)
    table = Table(title=title)
    for name in names:
        table.add_column(name, overflow="fold", min_width=least[name], no_wrap=needed[name] == least[name])
    for row in rows:
        table.add_row(*(told(row[name]) for name in names))
    return table


def told(value: Any) -> str:
    """Return a value as a cell of a table shows it."""
    if isinstance(value, list):
        return "\n".join(map(told, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {told(each)}" for name, each in value.items())
    return str(value)


def _width_of(value: Any) -> int:
    return max((cell_len(line) for line in told(value).splitlines()), default=0)


def _word_width_of(value: Any) -> int:
    return max(map(cell_len, told(value).split()), default=0)


def _not_empty(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value not in ("", None)}
