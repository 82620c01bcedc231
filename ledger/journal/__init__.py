"""The journal: what was acknowledged is in it, and nothing can be written to it behind its one writer's back."""
