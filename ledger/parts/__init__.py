"""What a book has beside its ledger. Pure: time and positions come in."""
