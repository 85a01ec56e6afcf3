"""Which adapters are in the engine, and how they get there."""
