"""The run folder: everything a run knows, on disk."""
