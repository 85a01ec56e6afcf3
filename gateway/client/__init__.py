"""The one HTTP client of the service: for the worker, the command line, the demo and the benchmarks."""
