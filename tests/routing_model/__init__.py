"""A model of routing, written from docs/routing.md and the contract alone, beside an engine's desk.

`days` has calendars and instants, `costs` what a shipment costs, `sight` what keeps a location from a line, `optimum`
the cheapest of all assignments, `plans` what an answer must say, `holds` what plans hold and take of capacity. They
import nothing of the product but its messages. `histories` draws networks and what happens to them; `world` tells it
to both sides; `beside` lets it happen and compares each step.
"""
