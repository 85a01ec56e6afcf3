"""`bench tofu`: the figures of TOFU (Maini et al., COLM 2024), asked of a running service."""
