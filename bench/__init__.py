"""Measurements, apart from the tests: everything here is a ratio of things measured side by side in one run."""
