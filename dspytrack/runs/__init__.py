"""One run: planned, estimated, executed, resumed."""
