"""The api: decoding and checking requests, asking the book, and saying what came of it. Knows no transport."""
