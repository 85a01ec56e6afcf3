"""`demo`: forget one fact the default model knows, and ask before and after."""
