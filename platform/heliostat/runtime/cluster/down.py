"""`helio down`: the end of what `helio up` or `helio join` started on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from heliostat.runtime.cluster import processes, running
from heliostat.runtime.cluster.asking import reach
from heliostat.runtime.cluster.jobs import stop_all
from heliostat.runtime.cluster.running import PARTS, Part
from heliostat.spec import InputError
from heliostat.tracking.standing import Standing


@dataclass(frozen=True)
class Down:
    """What was stopped."""

    stopped: tuple[Part, ...]
    jobs: int
    """How many jobs ended with it."""


def down(*, show: Callable[[str], None]) -> Down:
    """Stop what was started here, and nothing else; nothing to stop is no error.

    Jobs go first, as `helio stop` ends them; then Ray, so that MLflow can still be told how they
    ended.
    """
    with running.alone():
        ray = running.ray_here()
        jobs = _stop_jobs(ray, show) if ray and running.is_head(ray) else 0
        stopped = tuple(part for part in PARTS if stop_part(part))
    return Down(stopped, jobs)


def stop_part(part: Part) -> bool:
    """Stop a part, or what its leader left behind when it died; whether it lived."""
    standing = running.recorded(part)
    if standing is None:
        return False
    lived = standing.lives
    processes.end(standing)
    running.forget(part)
    return lived


def clear_away() -> None:
    """End what parts that have died left behind: it may hold a port."""
    for part in PARTS:
        if (last := running.recorded(part)) and not last.lives:
            stop_part(part)


def _stop_jobs(head: Standing, show: Callable[[str], None]) -> int:
    try:
        return stop_all(reach(head.address), say=show)
    except InputError:  # it is past answering
        return 0
