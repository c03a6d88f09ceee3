"""A real file system of a few megabytes, which is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, *, size: str = "4m") -> Iterator[Path]:
    """Mount a tmpfs of `size` on the folder `place`; the test is skipped where that is refused."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here to make a small disk with")
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, *, leave: int = 0) -> Path:
    """Fill the disk that `place` is on, but for some bytes; return the file to be removed."""
    file = place / "somebody-elses"
    block = bytes(4096)
    with file.open("wb", buffering=0) as stream:
        try:
            while True:
                stream.write(block)
        except OSError:
            pass
        stream.truncate(max(0, stream.tell() - leave))
    return file
