"""What kind of failure an exception is, and whether another attempt makes sense after it."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import torch

from heliostat.spec import InputError
from heliostat.training.judging import verdict
from heliostat.training.losses import DivergedError
from heliostat.training.stopping import Stopped
from heliostat.training.verdicts import VERDICTS, Verdict, budget
from heliostat.vision.mistakes import Mistake, WrongTargets

GLOO = "[../third_party/gloo/gloo/transport/tcp/"


def raised(error: BaseException, *, by_library: bool = True) -> BaseException:
    """Return the exception with a traceback: through a user's file, or through none of theirs."""
    file = torch.__file__ if by_library else "/home/user/own_code.py"
    scope: dict[str, Any] = {}
    exec(compile("def trouble(error):\n    raise error\n", file, "exec"), scope)
    with pytest.raises(type(error)) as caught:
        scope["trouble"](error)
    # This file's own frame stands for heliostat's, and is none of the user's.
    return caught.value.with_traceback(caught.value.__traceback__.tb_next)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InputError.of("no such file"), "input"),
        (Stopped("after step 4"), "stopped"),
        (Stopped("after step 4", preempted=True), "preempted"),
        (KeyboardInterrupt(), "interrupted"),
        (DivergedError("the loss is nan"), "diverged"),
        (WrongTargets("label 12 of 10 classes"), "data"),
        (Mistake("the model gave (8, 3), not (8, 10)"), "user_code"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out_of_memory_device"),
        (RuntimeError("CUDA error: out of memory"), "out_of_memory_device"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "out_of_memory_device"),
        (RuntimeError("NCCL error: Cuda failure 2 'out of memory'"), "out_of_memory_device"),
        (MemoryError(), "out_of_memory_host"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out_of_memory_host"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory_host"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (PermissionError(errno.EACCES, "Permission denied"), "storage"),
        (RuntimeError(f"{GLOO}pair.cc] Connection closed by peer [127.0.0.1]:1"), "worker_lost"),
        (RuntimeError(f"{GLOO}pair.cc] Connection reset by peer"), "worker_lost"),
        (torch.distributed.DistBackendError("NCCL error: ncclRemoteError"), "worker_lost"),
        (RuntimeError(f"{GLOO}unbound_buffer.cc] Timed out waiting 100ms"), "collective"),
        (torch.distributed.DistBackendError("NCCL watchdog time-out"), "collective"),
        (torch.distributed.DistStoreError("wait timeout after 1800000ms"), "collective"),
        (ValueError("anything else that no file of the user's is in"), "internal"),
    ],
)
def test_an_exception_is_of_one_kind(error: BaseException, expected: Verdict) -> None:
    assert verdict(raised(error)) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KeyError("theirs"), "user_code"),
        (SystemExit(3), "user_code"),
        (FileNotFoundError(errno.ENOENT, "no labels.csv"), "user_code"),
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (OSError(errno.ESTALE, "Stale file handle"), "storage"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory_device"),
        (RuntimeError(f"{GLOO}pair.cc] Connection closed by peer"), "worker_lost"),
    ],
)
def test_what_comes_up_in_the_users_code_is_theirs_unless_no_code_could_help(
    error: BaseException, expected: Verdict
) -> None:
    assert verdict(raised(error, by_library=False)) == expected


RETRIED: dict[Verdict, str] = {
    "out_of_memory_host": "failures",
    "worker_lost": "failures",
    "node_lost": "failures",
    "collective": "failures",
    "stalled": "failures",
    "preempted": "preemptions",
}


def test_only_what_may_be_past_next_time_is_tried_again_and_preemptions_have_their_own_budget() -> (
    None
):
    assert {word: kind for word in VERDICTS if (kind := budget(word))} == RETRIED


def test_storage_that_blinked_is_tried_again_and_a_full_disk_is_not() -> None:
    assert budget("storage", errno.ESTALE) == "failures"
    assert budget("storage", errno.ENOSPC) is None
