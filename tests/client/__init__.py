"""The client package: coalescing, errors, retries and deadlines, against real engines; encoding and retries alone."""
