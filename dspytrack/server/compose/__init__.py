"""The tracking server in Docker Compose, with PostgreSQL."""
