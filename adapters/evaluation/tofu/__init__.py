"""TOFU: its figures, of what any model says to its questions and of how it reads their answers."""
