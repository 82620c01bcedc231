"""A simulated world: real engines between a model of the journal server and made-up clients, decided by one seed.

One process, no threads, no sockets, no sleeping, no real clock. See `world` for how it goes, `__main__` for commands.
"""

import sys
from pathlib import Path

# Tests import each other by their plain names, as pytest's `pythonpath` lets them; `python -m` must be told.
_TESTS = str(Path(__file__).parents[1])
if _TESTS not in sys.path:
    sys.path.append(_TESTS)
