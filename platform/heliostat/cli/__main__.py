"""`python -m heliostat.cli`: helio where no console script is installed, as on a cluster's node."""

from __future__ import annotations

import sys

from heliostat.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
