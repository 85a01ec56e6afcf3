"""The keys that evidence is signed with, Ed25519 and ML-DSA-44 together, and what becomes of them."""
