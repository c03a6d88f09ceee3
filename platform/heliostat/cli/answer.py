"""What a command answers on stdout: lines for a person, or exactly one JSON document."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

Answer = Callable[[Mapping[str, Any], Iterable[str]], None]
"""`answer(document, lines)` prints the document with --json, else the lines."""


@contextmanager
def answering(as_json: bool) -> Iterator[Answer]:
    """Give a command its one way to stdout.

    With `as_json`, whatever else writes to stdout meanwhile (user code under `--local`, libraries,
    child processes) finds stderr there.
    """
    if not as_json:
        yield lambda _, lines: _print_lines(lines)
        return
    stdout = sys.stdout
    with _stdout_to_stderr(stdout) as real_stdout, redirect_stdout(sys.stderr):

        def answer(document: Mapping[str, Any], _: Iterable[str]) -> None:
            with real_stdout():
                print(as_text(document), file=stdout, flush=True)

        yield answer


def as_text(document: Mapping[str, Any]) -> str:
    """Return `document` as valid JSON: NaN and the infinities, which JSON lacks, become null."""
    return json.dumps(_plain(document), indent=2, allow_nan=False)


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


@contextmanager
def _stdout_to_stderr(stdout: TextIO) -> Iterator[Callable[[], Any]]:
    """Point file descriptor 1 at stderr; what is yielded gives it back for the time of a `with`.

    It is done at the descriptor because a child that inherited the real one would also keep the
    reader of a pipe waiting after helio has ended.
    """
    stdout.flush()
    saved = os.dup(1)

    @contextmanager
    def real_stdout() -> Iterator[None]:
        stdout.flush()
        os.dup2(saved, 1)
        try:
            yield
        finally:
            os.dup2(2, 1)

    os.dup2(2, 1)
    try:
        yield real_stdout
    finally:
        stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def _plain(value: Any) -> Any:
    """Return `value` made of what JSON has."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
