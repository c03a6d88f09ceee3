"""Whose code a file is. Imports no torch."""

from __future__ import annotations

import sysconfig
from pathlib import Path


def is_users_file(filename: str) -> bool:
    """Whether code of the user's own is in it: not heliostat's, Python's or a package's."""
    path = Path(filename)
    foreign = {Path(__file__).parents[1], Path(sysconfig.get_path("stdlib"))}
    return not (
        filename.startswith("<")
        or foreign & set(path.parents)
        or {"site-packages", "dist-packages"} & set(path.parts)
    )
