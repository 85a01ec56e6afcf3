"""Checks of a certificate file, offline: no service, no model, no vLLM, no torch."""
