"""The values that cross borders between rooms, and the catalogue of metrics."""
