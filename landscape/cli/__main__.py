"""`python -m landscape.cli`."""

from landscape.cli.command import main

main()
