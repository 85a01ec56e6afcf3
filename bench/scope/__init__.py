"""What `matched` requests catch of what asks about them, and what else they match, with others in force beside them."""
