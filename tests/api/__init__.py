"""What the contract says, call by call: request ids, pages, history, availability, catalog, expiry, errors."""
