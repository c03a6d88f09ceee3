"""What an exception says of why training ended: a verdict, and the user's part of its traceback."""

from __future__ import annotations

import errno
import traceback

from heliostat.spec import InputError
from heliostat.training.fence import Superseded
from heliostat.training.losses import DivergedError
from heliostat.training.stalling import StalledError
from heliostat.training.stopping import Stopped
from heliostat.training.storage_away import StorageAway
from heliostat.training.users_files import is_users_file
from heliostat.training.verdicts import PASSING, Verdict
from heliostat.vision.mistakes import Mistake, WrongTargets


def verdict(error: BaseException) -> Verdict:
    """Return what kind of failure an exception is."""
    if isinstance(error, InputError):
        return "input"
    if isinstance(error, Stopped):
        return "preempted" if error.preempted else "stopped"
    if isinstance(error, Superseded):
        return "superseded"
    if isinstance(error, StorageAway):  # also where it came up in a call of the user's code
        return "storage"
    if isinstance(error, DivergedError):
        return "diverged"
    if isinstance(error, StalledError):
        return "stalled"
    if isinstance(error, Mistake):
        return "data" if isinstance(error, WrongTargets) else "user_code"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return _of_memory(error) or _of_files(error) or _of_ranks(error) or _of_code(error)


def _of_memory(error: BaseException) -> Verdict | None:
    import torch

    text = str(error)
    if isinstance(error, torch.OutOfMemoryError) or _has(error, RuntimeError, _DEVICE_IS_FULL):
        return "out_of_memory_device"
    # torch has no exception of its own for a machine's memory.
    if isinstance(error, MemoryError) or _has(error, RuntimeError, ("DefaultCPUAllocator",)):
        return "out_of_memory_host"
    if isinstance(error, OSError) and (error.errno == errno.ENOMEM or "Cannot allocate" in text):
        return "out_of_memory_host"
    return None


_DEVICE_IS_FULL = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Cuda failure 2 'out of memory'",  # NCCL's words
)


def _of_files(error: BaseException) -> Verdict | None:
    if isinstance(error, OSError) and (error.errno in _NEVER_CODE or not _user_frames(error)):
        return "storage"
    return None


_NEVER_CODE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, *PASSING}
"""No mistake of the user's code, though it is where such an error may come up."""


def _of_ranks(error: BaseException) -> Verdict | None:
    """Return what a collective that failed says: of a rank that is gone, or of the way to it."""
    if _has(error, RuntimeError, _PEER_GONE):
        return "worker_lost"
    known = type(error).__name__.startswith("Dist") and type(error).__module__.startswith("torch")
    return "collective" if known or _has(error, RuntimeError, ("gloo", "NCCL")) else None


_PEER_GONE = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "ncclRemoteError",
)


def _of_code(error: BaseException) -> Verdict:
    return "user_code" if _user_frames(error) or _is_users_syntax(error) else "internal"


def _has(error: BaseException, kind: type[BaseException], signs: tuple[str, ...]) -> bool:
    return isinstance(error, kind) and any(sign in str(error) for sign in signs)


def user_traceback(error: BaseException) -> str:
    """Return the traceback from the user's first own frame on, or all of it if there is none.

    Of a Mistake (their model gave what the task cannot use) its one line says more.
    """
    if isinstance(error, Mistake):
        return f"{error}\n"
    frames = _user_frames(error)
    if not frames and not _is_users_syntax(error):
        frames = traceback.extract_tb(error.__traceback__)
    lines = ["Traceback (most recent call last):\n"] if frames else []
    lines += traceback.format_list(frames)
    lines += traceback.format_exception_only(error)
    return "".join(lines)


def _user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames from the first one outside heliostat and installed packages on."""
    frames = list(traceback.extract_tb(error.__traceback__))
    for number, frame in enumerate(frames):
        if is_users_file(frame.filename):
            return frames[number:]
    return []


def _is_users_syntax(error: BaseException) -> bool:
    """Whether a module of the user's could not be compiled: then no frame is in it."""
    return isinstance(error, SyntaxError) and is_users_file(error.filename or "<unknown>")
