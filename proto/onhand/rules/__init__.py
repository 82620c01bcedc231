"""What engine and client both go by: reasons, sentences, checks, limits, operations, and the fields of an order.

Whatever stands here has one place, so that the client refuses what the engine would refuse, in the same words. Ledger
and routing know nothing of the contract: limits that they have too are held against theirs by tests/test_rules.py.
"""
