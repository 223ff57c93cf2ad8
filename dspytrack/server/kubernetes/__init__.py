"""The tracking server on Kubernetes: manifests and Helm values."""
