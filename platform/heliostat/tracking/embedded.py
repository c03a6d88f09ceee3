"""The database of the store that needs no server: there with all its tables, or not at all."""

from __future__ import annotations

import fcntl
from pathlib import Path

from mlflow import MlflowClient

_PREFIX = "sqlite:///"


def make_database(uri: str) -> None:
    """Make the SQLite database of `uri` where there is none; other addresses are left alone.

    MLflow makes its tables in a hundred steps, and whoever dies in the middle of them leaves a
    database that it refuses for good.
    """
    path = Path(uri.removeprefix(_PREFIX))
    if not uri.startswith(_PREFIX) or path.exists() or not path.parent.is_dir():
        return
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():  # another process was first
            return
        part = path.with_name(f".{path.name}.part")
        for left in path.parent.glob(f"{part.name}*"):  # by one that died, its journal with it
            left.unlink()
        MlflowClient(f"{_PREFIX}{part}").search_experiments(max_results=1)
        part.replace(path)
