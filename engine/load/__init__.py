"""Loading a catalog, its stock and a routing network from files (`onhand load`).

In the order of a load: `reading` makes rows of files by the tables and settings of `schema`, and notes every problem;
`catalog` and `network` make of the rows what the engine takes, put on top of what it has, and `plan` puts these
together; `changes` and `report` say what differs; `sending` writes it. `command` is the load from end to end. The demo
and the benchmarks send by `sending` too.
"""
