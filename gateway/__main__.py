"""`python -m gateway` is `unlearn`."""

from gateway.cli import main

main()
