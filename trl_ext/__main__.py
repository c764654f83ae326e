"""`python -m trl_ext`: the command line, where the console script `trl-ext` is not on the search path."""

import sys

from .cli import main


if __name__ == "__main__":
    sys.exit(main())
