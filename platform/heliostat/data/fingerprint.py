"""A short name for content: the same bytes, labels and classes have the same fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from heliostat.data.samples import Labels


def fingerprint(about: object, labels: Labels | None, parts: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 (64 hex digits) of a JSON-able description, the labels and `parts`."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    if labels is not None:
        digest.update(labels.tobytes())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
