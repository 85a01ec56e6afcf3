"""Whatever compares, cuts or counts text, in any script, and what the package itself says. The lowest room."""
