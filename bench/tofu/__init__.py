"""The fixture world: a small model that knows invented authors, one that never read of some of them, and the measuring
of how near unlearning brings the first to the second."""
