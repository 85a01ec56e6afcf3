"""The losses, a file each, and what they see of a step."""
