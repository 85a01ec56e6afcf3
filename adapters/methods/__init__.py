"""The methods, a folder each: settings, registration, training."""
