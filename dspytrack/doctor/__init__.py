"""What can be wrong around a run: each thing is checked by itself, and each fault comes with its fix."""
