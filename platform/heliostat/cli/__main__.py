"""`python -m heliostat.cli`: the console script `helio`, where that is not on the path."""

import sys

from heliostat.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
