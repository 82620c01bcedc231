"""The ledger as columns and kernels, and the plain Python oracle beside them. Pure: time and ids come in."""
