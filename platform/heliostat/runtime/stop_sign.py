"""How the driver of a job tells its workers to stop, wherever they run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from heliostat.runtime.events import Note
from heliostat.spec import InputError
from heliostat.training.journal import events, read_all

STOPPING = Note("stopping: a checkpoint is written first (again: at once)")

_NAMESPACE = b"heliostat"
_LOOK_SECONDS = 0.5


def grace_seconds() -> float:
    """Return how long a job that is stopped may go on until its last checkpoint is written."""
    given = os.environ.get("HELIO_GRACE_SECONDS", "30")
    try:
        return float(given)
    except ValueError:
        raise InputError.of(
            f"HELIO_GRACE_SECONDS is {given!r}", valid="a number of seconds, such as 30"
        ) from None


def has_begun(folder: Path, attempt: int) -> bool:
    """Return whether the attempt has trained a step of the job in `folder`.

    Before that there is nothing that a last checkpoint could keep.
    """
    first_steps = events(read_all(folder / "journal"), "first_step")
    return any(record["attempt"] == attempt for record in first_steps)


@contextmanager
def shown(group: str) -> Iterator[None]:
    """Tell the workers of `group` to stop, as long as the block lasts.

    The sign is a key in Ray's control store, which every node can ask. Ray's own functions for it
    are underscored; the names are those of the Ray that is pinned.
    """
    from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put

    _internal_kv_put(_key(group), b"", namespace=_NAMESPACE)
    try:
        yield
    finally:
        _internal_kv_del(_key(group), namespace=_NAMESPACE)


def seen_by(group: str) -> Callable[[], bool]:
    """Look for the sign from a thread; return what says, in no time, whether it was seen.

    To be called in a process of Ray's that belongs to the group.
    """
    seen = threading.Event()
    threading.Thread(target=_look, args=(group, seen), name="stop-sign", daemon=True).start()
    return seen.is_set


def _look(group: str, seen: threading.Event) -> None:
    from ray.experimental.internal_kv import _internal_kv_exists

    while not seen.is_set():
        try:
            if _internal_kv_exists(_key(group), namespace=_NAMESPACE):
                seen.set()
        except Exception:
            # The head is away. Ray ends this process if it stays so; if not, it is asked again.
            pass
        time.sleep(_LOOK_SECONDS)


def _key(group: str) -> bytes:
    return f"stop:{group}".encode()
