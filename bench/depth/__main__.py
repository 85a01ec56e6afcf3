"""`python -m bench.depth`: see `bench.depth.command`. Apart, for processes that are spawned import no `__main__`."""

from bench.depth.command import main

main()
