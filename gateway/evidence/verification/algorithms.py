"""The two algorithms that a certificate and a log are signed with, by the names that a verifier knows them by."""

from __future__ import annotations

from typing import Final

ED25519: Final = "ed25519"
ML_DSA_44: Final = "ml-dsa-44"
ALGORITHMS: Final = (ED25519, ML_DSA_44)
