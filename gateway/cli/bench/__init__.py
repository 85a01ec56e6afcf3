"""`unlearn bench`: benchmarks of a running service, whatever model it serves."""
