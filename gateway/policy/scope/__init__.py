"""Which of the active requests a conversation may be about.

A text is read in every way that it may be meant, and cut into windows, so that nothing asked in it is overlooked.
Detectors look at those windows, and each of them alone can bring a request into the plan. They are built for recall:
a miss is a leak, and a false match costs little.
"""
