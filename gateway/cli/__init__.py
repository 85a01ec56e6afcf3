"""The command line, `unlearn`. It talks to the service over HTTP; only `serve` and `worker` load it."""
