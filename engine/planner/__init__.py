"""Planning as one step of the writer: orders as columns in, decisions, holds and answers out, all in one kernel.

`records` says what goes in and comes out; `kernel` decides each order on the live ledger, holds what it decided, and
writes the answer; `run` drives it over a book and keeps what came of it; `seen` reads what a decision was made on.
"""
