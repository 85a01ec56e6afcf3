"""The steps of a training run, and its settings."""
