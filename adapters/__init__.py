"""The unlearning methods: what trains an adapter, and what an adapter is. Knows no HTTP, vLLM or Redis."""
