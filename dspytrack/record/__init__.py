"""The record of a run: everything it knows, on disk."""
