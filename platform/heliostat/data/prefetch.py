"""Work done ahead in a thread: the next items are made while the last one is used."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


def prefetch(items: Iterator[T], depth: int = 3) -> Generator[T, None, None]:
    """Yield `items` in their order, up to `depth` of them made ahead of use.

    Threads, not processes: decoders and NumPy's copies let go of the interpreter lock, and
    nothing is copied between processes. An exception of `items` is raised here, with the
    thread's own traceback. Closing the iterator early ends the thread before `close` returns.
    """
    ready: SimpleQueue[_Item[T] | _Failure | None] = SimpleQueue()
    free = threading.Semaphore(depth)
    stopped = threading.Event()

    def work() -> None:
        try:
            while free.acquire() and not stopped.is_set():
                ready.put(_Item(next(items)))
        except StopIteration:
            ready.put(None)
        except BaseException as error:  # handed over, and raised by the consumer
            ready.put(_Failure(error))

    thread = threading.Thread(target=work, name="heliostat-prefetch", daemon=True)
    thread.start()
    try:
        while (result := ready.get()) is not None:
            if isinstance(result, _Failure):
                raise result.error
            free.release()
            yield result.value
    finally:
        stopped.set()
        free.release()
        thread.join()


@dataclass(frozen=True)
class _Item(Generic[T]):
    value: T


@dataclass(frozen=True)
class _Failure:
    error: BaseException
