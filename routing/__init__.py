"""The room of the routing optimizer: pure functions over arrays, importing neither engine nor ledger.

Read `strategies.py` first: it takes one order from its network, profile and stock to a plan. docs/routing.md explains
the model.
"""
