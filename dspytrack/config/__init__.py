"""The config file: its schema, how it is read, and what in it is a secret."""
