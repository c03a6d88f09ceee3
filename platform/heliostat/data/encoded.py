"""An encoded image: a file, or its content."""

from __future__ import annotations

import os
from pathlib import Path

Encoded = Path | bytes
"""An image file, or its content."""

HASHED_BYTES = 2 * 2**30
"""Contents of more than this together are not read for a fingerprint: their sizes have to do."""


def content_of(encoded: Encoded, at_most: int | None = None) -> bytes:
    """Return what an image file holds, or its beginning of `at_most` bytes."""
    if isinstance(encoded, bytes):
        return encoded
    # `Path.read_bytes` takes three times as long, which shows with small images.
    file = os.open(encoded, os.O_RDONLY)
    try:
        content = os.read(file, at_most or _AT_ONCE)
        if at_most or len(content) < _AT_ONCE:
            return content
        parts = [content]
        while part := os.read(file, _AT_ONCE * 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def size_of(encoded: Encoded) -> int:
    """Return how many bytes an image file holds."""
    return len(encoded) if isinstance(encoded, bytes) else encoded.stat().st_size


_AT_ONCE = 65536
