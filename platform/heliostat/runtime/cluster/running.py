"""What `helio up` or `helio join` keeps running on this machine, and the one who may change it."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Literal

import psutil

from heliostat.runtime.home import home
from heliostat.tracking.standing import Option, Standing, living, read

Part = Literal["ray", "mlflow"]
PARTS: tuple[Part, ...] = ("ray", "mlflow")

TITLES: dict[Part, str] = {"ray": "Ray", "mlflow": "MLflow"}


def ray_here() -> Standing | None:
    """Return the Ray, head or joined node, that lives here; None where there is none."""
    return living(file("ray"))


def mlflow_here() -> Standing | None:
    """Return the MLflow server that lives here; None where there is none."""
    return living(file("mlflow"))


def recorded(part: Part) -> Standing | None:
    """Return what was started last and not stopped, whether or not it still lives."""
    return read(file(part))


def is_head(ray: Standing) -> bool:
    """Whether it is a cluster's head, and not a node that joined one."""
    return ray.options.get("role") == "head"


def folder() -> Path:
    """Return the folder with the records and logs, made if missing; its owner's alone."""
    path = home() / "cluster"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def file(part: Part) -> Path:
    """Return the file that says what was started."""
    return folder() / f"{part}.json"


def log(part: Part) -> Path:
    """Return the file with what the process has said since it was started."""
    return folder() / f"{part}.log"


def record(part: Part, pid: int, address: str, options: dict[str, Option]) -> Standing:
    """Write down that the process `pid`, a child of this one, was started as `part`."""
    standing = Standing(
        address=address,
        pid=pid,
        created=psutil.Process(pid).create_time(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=_versions(part),
        options=options,
    )
    standing.write(file(part))
    return standing


def forget(part: Part) -> None:
    """Remove what is written of a process that has ended."""
    file(part).unlink(missing_ok=True)


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other `helio up`, `join` or `down` is at work here, and keep others waiting."""
    with (folder() / "lock").open("w") as lock:
        os.chmod(lock.fileno(), 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _versions(part: Part) -> dict[str, str]:
    found = {"python": platform.python_version(), part: metadata.version(part)}
    with suppress(metadata.PackageNotFoundError):  # a source tree that is not installed
        found["heliostat"] = metadata.version("heliostat")
    return found
