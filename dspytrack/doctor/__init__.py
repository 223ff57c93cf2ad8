"""Everything that can be wrong around a run, looked at one by one, each fault with what mends it."""
