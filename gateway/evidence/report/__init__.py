"""What one evaluation of a request found: numbers alone, a verdict by a stated policy, and a page to read them on."""
