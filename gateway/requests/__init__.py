"""What `/forget` does, without HTTP: what a request may say, and what becomes of it."""
