"""What is tried next? Suggestions, rungs and the ledger that a search is rebuilt from."""
