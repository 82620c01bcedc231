"""Kernels, codec and journal entries by themselves, with pytest-benchmark: `make bench-micro`."""
