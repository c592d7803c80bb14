"""`python -m landscape`: the command, from a checkout that is not installed, too."""

from landscape.cli import main

main()
