"""The config file: its schema, how it is read, where its values lie."""
