"""The engine on a CUDA device: captured graphs and eager, both of vLLM's model runners."""
