"""Engines and journal servers that die under load: what clients were told is there, and nothing is half done.

Every client keeps a history of what it asked and what it was told. After a crash it repeats what it got no answer to,
under the same request id; then the whole history is held against the engine that came up.
"""
