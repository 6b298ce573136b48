"""Tools to reason with: Python that a model writes, run in a sandbox or not at all (invariant 8)."""
