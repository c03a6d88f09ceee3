"""What a rank's process that died left in its log: a crash, or a collective that came too late."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

from heliostat.training.users_files import is_users_file

_TAIL_BYTES = 32 * 1024

# faulthandler's, which Ray turns on: `Fatal Python error: Segmentation fault`, and the stack with
# the most recent call first.
_CRASH = re.compile(r"^Fatal Python error: (.+)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.MULTILINE)
# torch's, before it ends a process whose GPU waits for another rank's.
_LATE = re.compile(r"Watchdog caught collective operation timeout: (.+)$", re.MULTILINE)


class LastWords(NamedTuple):
    """Why a process ended that could not say so in the journal."""

    verdict: Literal["worker_lost", "collective"]
    message: str
    """`rank 1 crashed: Segmentation fault in own.py, line 12`."""


def last_words(logs: Path, *, since: float) -> LastWords | None:
    """Return what the first of the ranks' logs that tells anything tells; None where none does.

    `since` is when the attempt began, in unix seconds: a log that was not written to after it is
    an earlier attempt's.
    """
    for log in sorted(logs.glob("rank-*.log")):
        if log.stat().st_mtime >= since:
            rank = log.stem.split("-")[1]
            text = _tail(log)
            if late := _LATE.search(text):
                return LastWords("collective", f"rank {rank} in a collective: {late[1]}")
            if crash := _CRASH.search(text):
                return LastWords("worker_lost", f"rank {rank} crashed: {_crash(crash, text)}")
    return None


def _crash(crash: re.Match[str], text: str) -> str:
    frames = _FRAME.findall(text, crash.end())
    # The user's own innermost, as far as there is one: below it are the packages that it calls.
    file, line = next((f for f in frames if is_users_file(f[0])), next(iter(frames), ("", "")))
    return f"{crash[1]} in {Path(file).name}, line {line}" if file else crash[1]


def _tail(file: Path) -> str:
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        return stream.read().decode(errors="replace")
