"""What may be concluded from counts and scores: exact bounds, corrections for many families, the relative test."""
