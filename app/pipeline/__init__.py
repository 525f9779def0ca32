"""One run, from claim to record."""
