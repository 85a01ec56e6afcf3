"""Whether the service computes what it should: checked before it is ready, and whenever the operator asks."""
