"""Programs scored on examples, and two of them compared."""
