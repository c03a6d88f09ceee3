"""A job's logs, kept with its run: they outlive the cluster, and the machine that it ran on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from heliostat.training.storage import write_bytes

KEPT_BYTES = 5 * 2**20
"""Of each log: its end."""

_RAYS_NAME = "job-driver-"
"""How Ray Jobs begins the name of the file with a submission's output."""


def driver_output() -> Path | None:
    """Return the file that Ray Jobs has this process's output in; None for one that it is not."""
    try:
        file = Path(os.readlink("/proc/self/fd/2"))
    except OSError:
        return None
    return file if file.name.startswith(_RAYS_NAME) and file.is_file() else None


def keep_driver_output(job: str, output: Path, logs: Path) -> None:
    """Copy what a driver has said by now to `logs`: `driver.log`, and `driver-2.log` of ID-2."""
    name = output.name.removeprefix(_RAYS_NAME).removeprefix(job)
    if output.is_file():
        logs.mkdir(parents=True, exist_ok=True)
        write_bytes(logs / f"driver{name}", _end_of(output))


@contextmanager
def kept(logs: Path) -> Iterator[list[Path]]:
    """Give the logs of the folder, each with its last 5 MiB only, while the block runs."""
    with TemporaryDirectory(prefix="helio-logs-") as temporary:
        found = []
        for log in sorted(logs.glob("*.log")):
            end = Path(temporary) / log.name
            if log.stat().st_size > KEPT_BYTES:
                end.write_bytes(_end_of(log))
            found.append(end if end.exists() else log)
        yield found


def _end_of(log: Path) -> bytes:
    """Return the last 5 MiB of a file, from the beginning of a line, and say what is missing."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size <= KEPT_BYTES:
            file.seek(0)
            return file.read()
        file.seek(size - KEPT_BYTES)
        file.readline()
        left_out = file.tell()
        return f"… {left_out:,} bytes before this are left out\n".encode() + file.read()
