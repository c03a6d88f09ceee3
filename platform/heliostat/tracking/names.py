"""Names of metrics and parameters as MLflow accepts them."""

from __future__ import annotations

import posixpath
import re
import zlib

LONGEST = 250  # MLflow's limit for a metric's, parameter's or tag's key


class Names:
    """Gives each name a key of its own: two names that look alike to MLflow stay two.

    The first name to come gets the plain key, so that the same names in the same order always
    get the same keys.
    """

    def __init__(self) -> None:
        """Begin with no name known."""
        self._keys: dict[str, str] = {}
        self._taken: set[str] = set()

    def key(self, name: str) -> str:
        """Return the key of `name`."""
        if name not in self._keys:
            key = sanitised(name)
            if key in self._taken:
                key = f"{key[: LONGEST - 9]}-{zlib.crc32(name.encode()):08x}"
            self._keys[name] = key
            self._taken.add(key)
        return self._keys[name]


def sanitised(name: str) -> str:
    """Return `name` as MLflow accepts it: letters, digits and `_-. :/`, as a clean path."""
    key = posixpath.normpath(re.sub(r"[^/\w.\- :]", "_", name)).strip("/")
    if key.startswith(".."):
        key = "__" + key[2:]
    if key in ("", "."):
        key = "_"
    if len(key) > LONGEST:
        key = f"{key[: LONGEST - 9]}-{zlib.crc32(name.encode()):08x}"
    return key
