"""The journal against real servers: what an append promises, and what becomes of it when the outside fails."""
