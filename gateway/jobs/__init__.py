"""The queue's side of unlearning: what waits, the worker, and the job that learns one request."""
