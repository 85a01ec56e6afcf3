"""Measures of what a model still knows, and what TOFU concludes from them."""
