"""What a CUDA device computes; `make test-gpu` runs it on one, elsewhere it is skipped."""
