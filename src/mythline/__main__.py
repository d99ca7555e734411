"""`python -m mythline` is the command `mythline`."""

from .cli import main

main()
