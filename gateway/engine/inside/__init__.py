"""What runs in vLLM's workers."""
