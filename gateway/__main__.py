"""`python -m gateway` is `unlearn`."""

from gateway.cli.main import main

main()
