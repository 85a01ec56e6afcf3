"""The models that are trained against: frozen, cut, and asked. Owns device and number format."""
