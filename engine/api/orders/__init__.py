"""Orders, from the cart to the doorstep: what a location has to do for them, and what became of it."""
