"""The rows as a table, for the terminal and for the page."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.rows import Row

RIGHT_ALIGNED: Final = frozenset({"ours", "reference value", "ratio", "target"})
MEANINGFUL_DIGITS: Final = 3


class Cells(NamedTuple):
    """One row as text."""

    name: str
    ours: str
    unit: str
    reference: str
    reference_value: str
    ratio: str
    target: str
    met: str
    verified: str


HEADINGS: Final = tuple(field.replace("_", " ") for field in Cells._fields)


def cells_of(row: Row) -> Cells:
    """Return what a row says, as text."""
    return Cells(
        name=row.name,
        ours=_shown(row.value),
        unit=row.unit,
        reference=row.reference,
        reference_value=_shown(row.reference_value),
        ratio=f"{row.ratio:.2f} ×" if row.ratio is not None else "",  # noqa: RUF001 - as the docs write it
        target=row.target,
        met={True: "yes", False: "NO", None: ""}[row.met],
        verified="missing" if row.missing else "yes" if row.verified else "WRONG",
    )


def _shown(value: float | None) -> str:
    """Return a figure with no more digits than it deserves."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 10**MEANINGFUL_DIGITS else f"{value:.{MEANINGFUL_DIGITS}g}"


def show_rows(rows: Sequence[Row], console: Console) -> None:
    """Print the table, and what was wrong or missing below it."""
    table = Table(title="Ours and the reference: medians of one run")
    for heading in HEADINGS:
        is_name = heading == HEADINGS[0]
        table.add_column(heading, justify="right" if heading in RIGHT_ALIGNED else "left", no_wrap=is_name)
    for row in rows:
        style = "red" if row.problems else "yellow" if row.missing or row.met is False else None
        table.add_row(*cells_of(row), style=style)
    console.print(table)
    for row in rows:
        for problem in row.problems:
            console.print(f"{row.name}: {problem}", style="red", markup=False, highlight=False)
        if row.missing:
            console.print(f"{row.name}: not measured: {row.missing}", style="yellow", markup=False, highlight=False)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = ["| " + " | ".join(HEADINGS) + " |"]
    lines.append("|" + "|".join("---:" if heading in RIGHT_ALIGNED else "---" for heading in HEADINGS) + "|")
    lines += ["| " + " | ".join(cells_of(row)) + " |" for row in rows]
    return "\n".join(lines)
