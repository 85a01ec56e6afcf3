"""Evidence that a stranger can check: canonical JSON, signatures, the transparency log. No Redis, no HTTP, no vLLM."""
