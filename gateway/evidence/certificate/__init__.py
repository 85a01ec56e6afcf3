"""Certificates: what the service signs of a report, and the file that a stranger is given."""
