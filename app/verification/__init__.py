"""Source against destination: whether what a run has left is what its window holds."""
