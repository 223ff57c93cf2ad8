"""A record -> pages a person reads."""
