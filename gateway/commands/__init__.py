"""The commands of `unlearn`. They talk to the service over HTTP; only `serve` and `worker` load it."""
