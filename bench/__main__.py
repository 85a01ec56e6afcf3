"""`make bench`: what the gateway costs beside bare vLLM."""

from bench.serving import main

main()
