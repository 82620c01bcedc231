"""Reading files for `onhand load`: every message names file, line and column, what was expected and what it was."""
