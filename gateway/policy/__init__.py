"""Who gets which adapters: the active requests, the plan made from them, and the context that carries it."""
