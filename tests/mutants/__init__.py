"""Every decision of the scoring, flipped once: see `__main__`."""
