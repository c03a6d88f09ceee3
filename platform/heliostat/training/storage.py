"""Writing files so that a reader finds the old content or the new, and never half of either."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

RESULT = "result.json"
"""What a job found, in its folder: `metrics`, and `output` for a prediction."""
LEG_END = "leg.json"
"""Where a trial of a search stands at the end of its newest leg, in its folder."""
SKIPPED = "skipped-samples.csv"
"""The samples that `on_error: skip` left out."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` durably: to a temporary name, synced, then renamed over `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # of half a file nothing is left, least of all on a disk that is full
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, as `write_bytes` does."""
    write_bytes(path, json.dumps(value, indent=1, sort_keys=True).encode())


def write_hint(path: Path, value: Any) -> None:
    """Write `value` as JSON by rename, but without waiting for the disk.

    For what is rewritten every second and worthless after a power cut.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value))
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Return the JSON value in `path`; None when there is no such file."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def sync_file(path: Path) -> None:
    """Return when the content of `path` is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in `folder`, and its own, are on the disk."""
    for place in (folder, folder.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
