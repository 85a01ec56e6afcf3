"""What is to go, in the wordings that it is trained in."""
