"""The host's memory, as training uses it: the same large tensors, allocated anew each step."""

from __future__ import annotations

import ctypes

import torch

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGE = 1 << 30
_LARGEST = 32 << 20  # for an older glibc, which takes no more as a threshold


def keep_freed_memory(device: torch.device) -> None:
    """Have the C library keep the memory of freed tensors for the next step's.

    By default glibc hands large blocks back to the kernel, and the next step pays for each of
    their pages again: a fifth of the time that a small CNN trains on the CPU. See mallopt(3).
    Does nothing where the model is on another device, or the C library is not glibc.
    """
    if device.type != "cpu":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        _ = mallopt(_M_MMAP_THRESHOLD, _LARGE) or mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _LARGE)
