"""The default model, and the digests of checkpoints."""
