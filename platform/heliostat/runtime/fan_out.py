"""Ranges of rows over workers, their results in order, each range done although a worker dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from heliostat.runtime.batch_worker import BatchWorker
from heliostat.spec import Resources

Range = tuple[int, int]
AHEAD = 2
"""Ranges that wait at a worker: enough that it never waits for the driver."""


def in_process(
    ranges: list[Range], make: Callable[[], BatchWorker], method: str
) -> Iterator[tuple[Range, Any]]:
    """Yield (range, result) in order, all done by one worker in this process."""
    worker = make()
    for start, stop in ranges:
        yield (start, stop), getattr(worker, method)(start, stop)


def over_actors(
    ranges: list[Range],
    worker_args: tuple[Any, ...],
    method: str,
    resources: Resources,
) -> Iterator[tuple[Range, Any]]:
    """Yield (range, result) in order, done by `resources.max_workers` Ray actors.

    A worker that dies is started again and its ranges are repeated, three times at most.
    """
    import ray

    actor = ray.remote(
        num_cpus=resources.cpus_per_worker,
        num_gpus=resources.gpus_per_worker,
        max_restarts=3,
        max_task_retries=3,
    )(BatchWorker)
    count = min(resources.max_workers, max(1, len(ranges)))
    workers = [actor.remote(*worker_args) for _ in range(count)]
    waiting: deque[tuple[Range, Any]] = deque()
    for number, (start, stop) in enumerate(ranges):
        worker = workers[number % count]
        waiting.append(((start, stop), getattr(worker, method).remote(start, stop)))
        if len(waiting) >= AHEAD * count:
            rows, reference = waiting.popleft()
            yield rows, ray.get(reference)
    while waiting:
        rows, reference = waiting.popleft()
        yield rows, ray.get(reference)
