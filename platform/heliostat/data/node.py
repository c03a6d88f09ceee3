"""Where a node keeps what it fetched or made of data: below HELIO_HOME."""

from __future__ import annotations

import os
from pathlib import Path


def node_folder(name: str) -> Path:
    """Return `HELIO_HOME/name` (HELIO_HOME: `~/.heliostat` unless set), which may not be there."""
    # The rule of runtime's `home`, which this room may not import.
    return Path(os.environ.get("HELIO_HOME") or "~/.heliostat").expanduser().absolute() / name
