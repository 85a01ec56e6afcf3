"""Tests against the real thing: vLLM, Redis and HTTP, in one shared server."""
