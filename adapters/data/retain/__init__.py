"""What is to stay: given, or made of questions that the model itself answers."""
