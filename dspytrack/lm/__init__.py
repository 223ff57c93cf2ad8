"""Language models: built from the config, with their keys and options."""
