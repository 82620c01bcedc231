"""The ledger by example: both implementations, one suite. Tests named T… are rows of the conformance scenarios."""
