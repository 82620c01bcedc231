"""Faults on real processes: a proxy that cuts, a load that remembers, a checker that believes nobody."""
