"""The queue's side of unlearning: enqueue, the worker, and the job that learns one request."""
