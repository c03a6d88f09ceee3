from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator

import pytest

from heliostat.data.prefetch import prefetch


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "heliostat-prefetch"]


def test_items_come_in_order_and_the_thread_ends_with_them() -> None:
    assert list(prefetch(iter(range(100)))) == list(range(100))
    assert threads() == []


def test_an_exception_comes_after_the_items_before_it_with_the_threads_traceback() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no such sample")

    made = prefetch(items())
    assert next(made) == 1
    with pytest.raises(LookupError, match="no such sample") as caught:
        next(made)
    assert "items" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert threads() == []


def test_closing_early_ends_the_thread_and_no_more_than_the_depth_is_made_ahead() -> None:
    made: list[int] = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(1000):
            made.append(number)
            if number == 3:
                full.set()
            yield number

    ahead = prefetch(items(), depth=3)
    assert next(ahead) == 0
    assert full.wait(10)
    ahead.close()
    assert threads() == []
    assert made == [0, 1, 2, 3]
