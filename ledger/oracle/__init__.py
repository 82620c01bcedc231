"""What stands beside the ledger, in plain Python: the second opinion that tests hold the parts of a book against.

The ledger's own oracle is `ledger.oracle.stock`. These follow the same rules: they are written from the contract alone,
share no code with what they judge, and are as simple as can be. None of them decides where an order is filled; that has
a model of its own (`tests/routing_model`). They are told what was decided, and know what must follow from it.
"""
