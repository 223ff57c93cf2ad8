"""What the command line shows: results, tables, plans, progress."""
