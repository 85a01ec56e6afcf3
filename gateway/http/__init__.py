"""The gateway's own HTTP edges, beside vLLM's routes."""
