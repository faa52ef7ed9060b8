"""`python -m stockwright` is the command `stockwright`, for who has several Pythons."""

import sys

from stockwright.cli import main

if __name__ == "__main__":
    sys.exit(main())
