"""`python -m tokenwire`: the command line, if the script `tokenwire` is not on the path."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
