"""LM calls as a run sees them: admitted under its caps, billed, kept with their responses. Knows no data, no metric."""
