"""The attack families, one a file."""
