"""What an adapter is on disk and in the engine: tensors, manifest, footprint, and several in one."""
