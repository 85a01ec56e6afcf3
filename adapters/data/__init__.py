"""From the items of a request to tokens: what is to go, what is to stay, and answers that contradict."""
