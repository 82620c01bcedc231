"""What the tests of this folder share."""

from pathlib import Path

from engine.load.catalog import Before, Change, location_changes, read_levels, read_table, sku_changes
from engine.load.problems import Problems
from engine.load.schema import LOCATIONS as LOCATION_TABLE
from engine.load.schema import SKUS as SKU_TABLE

LEVELS = "sku_id,location_id,on_hand\n"


def read(folder: Path, name: str, content: str | bytes, before: Before | None = None):
    """Read a file; gives what it makes of what the engine has, and the problems found."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    problems = Problems()
    if name.startswith("levels"):
        return read_levels(path, name, problems), problems.lines()
    table, changes = (SKU_TABLE, sku_changes) if name.startswith("skus") else (LOCATION_TABLE, location_changes)
    return changes(read_table(path, name, table, problems), before or Before(), problems), problems.lines()


def items(changes: list[Change]) -> list:
    return [change.item for change in changes]
