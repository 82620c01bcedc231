"""`python -m engine` is `onhand`."""

from engine.cli import main

main()
