"""The room of the routing optimizer: pure functions over arrays, importing neither engine nor ledger."""
