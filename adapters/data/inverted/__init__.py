"""Answers that contradict those which are to go."""
