"""How the driver of a job tells its workers to stop, wherever they run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    """Tell the workers of `group` to stop because the user wants it, as long as the block lasts.

    The sign is a key in Ray's control store, which every node can ask. Ray's own functions for it
    are underscored; the names are those of the Ray that is pinned.
    """
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(_key(group), _STOPPED, namespace=_NAMESPACE)
    try:
        yield
    finally:
        take_down(group)


def show_preempted(group: str) -> None:
    """Tell the workers of `group` to stop because one of them is to go; `take_down` ends it."""
    from ray.experimental.internal_kv import _internal_kv_put

    # What the user wants comes first.
    _internal_kv_put(_key(group), _PREEMPTED, overwrite=False, namespace=_NAMESPACE)


def take_down(group: str) -> None:
    """Tell the workers of `group` nothing any more."""
    from ray.experimental.internal_kv import _internal_kv_del

    _internal_kv_del(_key(group), namespace=_NAMESPACE)


class Sign:
    """A group's sign as a thread of this process sees it; asking takes no time.

    To be made in a process of Ray's that belongs to the group.
    """

    def __init__(self, group: str) -> None:
        """Begin to look."""
        self._said: bytes | None = None
        threading.Thread(target=self._look, args=(group,), name="stop-sign", daemon=True).start()

    def seen(self) -> bool:
        """Return whether the group is told to stop."""
        return self._said is not None

    def preempted(self) -> bool:
        """Return whether that is because one of its workers is to go."""
        return self._said == _PREEMPTED

    def _look(self, group: str) -> None:
        from ray.experimental.internal_kv import _internal_kv_get

        while self._said is None:
            # Where the head is away, Ray ends this process if it stays so; else it is asked again.
            with suppress(Exception):
                self._said = _internal_kv_get(_key(group), namespace=_NAMESPACE)
            time.sleep(_LOOK_SECONDS)


_STOPPED, _PREEMPTED = b"stopped", b"preempted"


def _key(group: str) -> bytes:
    return f"stop:{group}".encode()
