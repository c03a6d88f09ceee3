"""The threads that decode."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from time import perf_counter

import torch


def each(work: Callable[[int], None], numbers: range) -> None:
    """Call `work` with each number, in threads; raise the exception of the lowest.

    The threads take numbers from one iterator: a task for each image costs more than decoding it
    where images are small. Where one takes less than 0.3 ms, this thread does all: two would
    wait for the interpreter's lock (32×32 JPEGs: 9,500 images/s alone, 8,000 in two threads).
    """
    left = iter(numbers)
    failures: dict[int, Exception] = {}

    def run(at_most: int) -> None:
        for number in islice(left, at_most):
            try:
                work(number)
            except Exception as error:
                failures[number] = error
                for _ in left:  # leave the others nothing to begin
                    pass

    began = perf_counter()
    run(1)
    slow = perf_counter() - began > _WORTH_THREADS
    threads = min(_cpus(), len(numbers)) if slow else 1
    others = [decoders().submit(run, len(numbers)) for _ in range(threads - 1)]
    run(len(numbers))
    for other in others:
        other.result()
    if failures:
        raise failures[min(failures)]


@cache
def decoders() -> ThreadPoolExecutor:
    """Return the process's threads for decoding."""
    return ThreadPoolExecutor(_cpus(), thread_name_prefix="heliostat-decode")


_WORTH_THREADS = 3e-4  # seconds


@cache
def _cpus() -> int:
    # torch's thread count, when first asked for, is the CPU budget: Ray gives a worker with one
    # CPU OMP_NUM_THREADS=1.
    return torch.get_num_threads()


def _forget() -> None:
    decoders.cache_clear()
    _cpus.cache_clear()


# A forked process (a loader's) has this one's pool without its threads, and a budget of its own.
os.register_at_fork(after_in_child=_forget)
