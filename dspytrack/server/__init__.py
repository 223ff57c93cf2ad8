"""An MLflow server in one command: Docker Compose, a local process, or manifests for a cluster."""
