"""Load tests: customers as sessions, an open-loop generator, what it measures, and how it is judged."""
