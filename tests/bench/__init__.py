"""`python -m tests.bench`: what the command line, tracking, resuming and capping cost, measured; see `__main__.py`."""
