"""Looks for what should have been erased: in files, in Redis, in logs and answers, plain and encoded."""
