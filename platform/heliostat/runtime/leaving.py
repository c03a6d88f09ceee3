"""A rank that is to go: its process got a SIGTERM, or its node is to leave the cluster.

That is how spot instances, pods and nodes that are drained are told. The rank says so to its group
while there is time: all ranks stop after the same step, with a checkpoint.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from heliostat.runtime import stop_sign

if TYPE_CHECKING:
    from heliostat.training.reporter import Reporter

TOLD_TO_LEAVE = "told_to_leave"
"""The event in the journal: `by` is SIGTERM or drain."""

_LOOK_SECONDS = 0.5
_working = threading.Event()
_told = threading.Event()


def take_over_sigterm() -> None:
    """Keep the process's first SIGTERM from ending it while it trains.

    To be called in a worker's main thread; training is in another. What Ray does at a SIGTERM, it
    does at the second, or while nothing is trained.
    """
    before = signal.getsignal(signal.SIGTERM)

    def told(number: int, frame: object) -> None:
        if _working.is_set() and not _told.is_set():
            _told.set()
        elif callable(before):
            before(number, frame)  # type: ignore[arg-type]  # the frame is not read
        else:
            os._exit(128 + number)

    signal.signal(signal.SIGTERM, told)


@contextmanager
def noticed(group: str, reporter: Reporter, *, node: str | None, grace: float) -> Iterator[None]:
    """Tell `group`, as long as the block lasts, if this rank is to go.

    `node` is the id of Ray's node whose drain counts as well; None: another rank looks after it,
    or there is none to leave. `grace` seconds after a SIGTERM the process is ended, whatever it
    does.
    """
    over = threading.Event()
    _working.set()
    threading.Thread(
        target=_watch, args=(over, group, reporter, node, grace), name="leaving", daemon=True
    ).start()
    try:
        yield
    finally:
        over.set()
        _working.clear()
        _told.clear()


def _watch(
    over: threading.Event, group: str, reporter: Reporter, node: str | None, grace: float
) -> None:
    while not over.wait(_LOOK_SECONDS):
        by = "SIGTERM" if _told.is_set() else "drain" if node and _drains(node) else None
        if by is None:
            continue
        with suppress(ValueError):  # the journal is closed: it is at its end
            reporter.event(TOLD_TO_LEAVE, by=by)
        with suppress(Exception):  # Ray's head is away: the group hears of it when this rank goes
            stop_sign.show_preempted(group)
        if by == "SIGTERM" and not over.wait(grace):
            os._exit(128 + signal.SIGTERM)
        return


def _drains(node: str) -> bool:
    """Whether the node is told to leave the cluster; an underscored name of the pinned Ray."""
    import ray

    try:
        return node in ray._private.state.state.get_draining_nodes()
    except Exception:
        return False  # the head is away: it is asked again
