"""Where the stock levels of a sku are in the ledger, for all places of a network: looked up once for many orders."""

from engine.planner.kernel import entry, inlined
from ledger.core.kernels.accounts import find_level
from ledger.core.kernels.packed import state_of
from ledger.core.state import LEVEL_COUNT


@entry
def find_levels(columns, names, skus, first, rows_max):
    """Look up the levels of some skus, from position `first` on, until so many rows were; returns the first left."""
    state = state_of(columns)
    rows = 0
    while first < skus.shape[0] and rows < rows_max:
        if not _is_known(state, names, skus[first]):
            slot_of(state, names, skus[first])
            rows += names.location.shape[0]
        first += 1
    return first


@inlined
def slot_of(state, names, sku):
    """Return the slot that has a sku's level rows, looked up where they are not known."""
    levels = names.levels
    slot, level_count = sku % levels.sku.shape[0], state.counters[LEVEL_COUNT]
    is_known = levels.sku[slot] == sku + 1
    if not is_known or levels.level_count[slot] != level_count:
        for place in range(names.location.shape[0]):
            if not is_known or levels.row[slot, place] < 0:
                levels.row[slot, place] = find_level(state, sku, names.location[place])
        levels.sku[slot] = sku + 1
        levels.level_count[slot] = level_count
    return slot


@inlined
def _is_known(state, names, sku):
    """Tell whether nothing of a sku is to be looked up."""
    levels = names.levels
    slot = sku % levels.sku.shape[0]
    return levels.sku[slot] == sku + 1 and levels.level_count[slot] == state.counters[LEVEL_COUNT]
