"""Benchmarks: the engine against its peers, in turn, in one run, with every total checked. See docs/benchmarks.md.

    python -m bench unary hot --json build/bench.json

One module measures one thing; `bench.registry` lists them. `bench.rows` says what a result is, `bench.peers` holds what
the engine is measured against.
"""
