"""Attacks on what was forgotten: questions from the side, each a template over a request's own items."""
