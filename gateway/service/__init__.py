"""The running service: its parts, its life, its logs and metrics."""
