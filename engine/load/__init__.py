"""Loading a catalog, its stock and a routing network from files (`onhand load`).

In the order of a load: `reading` makes rows of files by the tables and settings of `schema`, and notes every problem;
`catalog` and `network` make of the rows what the engine takes, put on top of what it has; `changes` says what differs;
`sending` writes it. `command` puts these together. The demo and the benchmarks send by `sending` too.
"""
