"""`python -m tests.extending FOLDER [TOY ...]` makes a copy of the tree that has some toys, or all."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from extending import NAMES, extended

extended(Path(sys.argv[1]), sys.argv[2:] or NAMES)
