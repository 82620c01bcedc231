"""The results page, docs/benchmarks.md."""

import datetime as dt
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from bench.machine import describe_machine, describe_versions
from bench.peers import postgresql, valkey_function
from bench.registry import BENCHES
from bench.rows import Row
from bench.table import as_markdown

TEMPLATE: Final = "page_template.md"


def write_page(rows: Sequence[Row], path: Path) -> None:
    """Write the page of a run."""
    template = resources.files(__package__).joinpath(TEMPLATE).read_text("utf-8")
    page = Template(template).substitute(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=rows[0].commit if rows else "",
        machine=_listed(describe_machine()),
        versions=_listed(describe_versions()),
        table=as_markdown(rows),
        notes=_notes(rows),
        conditions="\n".join(f"| {row.name} | {row.conditions} |" for row in rows),
        valkey=valkey_function.DESCRIPTION,
        postgresql=postgresql.DESCRIPTION,
        names=", ".join(f"`{name}`" for name in BENCHES),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, "utf-8")


def _listed(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {fact}" for name, fact in facts.items())


def _notes(rows: Sequence[Row]) -> str:
    """Say which rows miss their target, which are wrong, and which could not be measured."""
    missed = [row.name for row in rows if row.met is False]
    lines = [f"- Targets missed: {', '.join(missed)}."] if missed else []
    lines += [f"- {row.name} is wrong: {problem}" for row in rows for problem in row.problems]
    lines += [f"- {row.name} was not measured: {row.missing}" for row in rows if row.missing]
    return "\n" + "\n".join(lines) + "\n" if lines else ""
