"""Examples: read, split, sealed."""
