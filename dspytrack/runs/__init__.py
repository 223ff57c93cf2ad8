"""One run: planned, estimated, executed, resumed."""

NEWEST = "newest"
"""In the place of a run's id: the newest unfinished run of a config file."""
