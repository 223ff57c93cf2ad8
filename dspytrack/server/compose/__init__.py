"""The tracking server in Docker Compose."""
