"""`python -m tokenwire.cli`, for where the script `tokenwire` is not on the path."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
