"""How deep forgetting goes: every method and rival under every attack, on facts that the default model knows and on the
fixture world's authors."""
