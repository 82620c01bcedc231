"""Tables of the docs that follow from tables of the product; `python -m tests.docs_tables` writes them anew.

docs/load.md has the columns of `engine/load/schema.py`, docs/transfers.md the cells of `ledger/core/documents.py`.
"""

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
from ledger.core.documents import DOCUMENTS, Cell
from ledger.core.statuses import DocumentKind, FulfillmentVerb, Status, TransferVerb

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


# ---- docs/transfers.md -----------------------------------------------------------------------------------------------

TRANSFERS = LOAD.with_name("transfers.md")
STATES = re.compile(r"(?m)^\| \| dispatch \|.*\n(?:\|.*\n)+")
LABEL = re.compile(r"(?m)^\| ((\w+)[^|]*) \|")
CALLED = {TransferVerb.FIND: "found"}
REFUSED = {Status.DOCUMENT_NOT_BEGUN: "not begun", Status.DOCUMENT_ENDED: "ended", Status.VERB_NOT_ALLOWED: "-"}


def with_states(page: str) -> str:
    """The page with what each verb does in each state; what a state is, is said there."""
    (row,) = (row for row in DOCUMENTS if row.kind is DocumentKind.TRANSFER)
    verbs = [verb for verb in row.verbs if verb.verb is not TransferVerb.CREATE]
    called = [CALLED.get(verb.verb, verb.verb.name.lower().replace("_", " ")) for verb in verbs]
    (before,) = STATES.findall(page)
    labels = {state: label for label, state in LABEL.findall(before)}
    lines = [f"| | {' | '.join(called)} |", "|---" * (len(verbs) + 1) + "|"]
    for state in row.states:
        cells = [told(cell) for verb in verbs for cell in verb.cells if cell.state is state.state]
        lines.append(f"| {labels.get(state.state.name, state.state.name)} | {' | '.join(cells)} |")
    return STATES.sub(lambda _: "\n".join([*lines, ""]), page)


def told(cell: Cell) -> str:
    """What a verb does in a state."""
    if cell.then is None:
        return REFUSED[cell.refused]
    if cell.meanwhile:
        states = ["stays," if each.state is cell.state else each.state.name for each in cell.meanwhile]
        return " or ".join([*states, cell.then.name])
    return "stays" if cell.then is cell.state else cell.then.name


# ---- docs/fulfillment.md ---------------------------------------------------------------------------------------------

FULFILLMENT = LOAD.with_name("fulfillment.md")
FULFILLMENT_STATES = re.compile(r"(?m)^\| \| accept \|.*\n(?:\|.*\n)+")


def with_fulfillment_states(page: str) -> str:
    """The page with what each verb does in each state; a verb that a state does not have is a dash."""
    (row,) = (row for row in DOCUMENTS if row.kind is DocumentKind.FULFILLMENT_ORDER)
    verbs = [verb for verb in row.verbs if verb.verb is not FulfillmentVerb.CREATE]
    lines = [f"| | {' | '.join(verb.verb.name.lower().replace('_', ' ') for verb in verbs)} |"]
    lines.append("|---" * (len(verbs) + 1) + "|")
    for state in row.states:
        cells = [told(cell) for verb in verbs for cell in verb.cells if cell.state is state.state]
        lines.append(f"| {state.state.name} | {' | '.join(cells)} |")
    return FULFILLMENT_STATES.sub(lambda _: "\n".join([*lines, ""]), page)


PAGES = {LOAD: with_tables, TRANSFERS: with_states, FULFILLMENT: with_fulfillment_states}

if __name__ == "__main__":
    for path, written in PAGES.items():
        path.write_text(written(path.read_text()))
