"""Random numbers that are a function of their place, not of a state (design decision 2).

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)
over NumPy's uint64. NumPy promises the same stream across versions for its bit generators but not
for `Generator.permutation` or `integers` (NEP 19), and a split that changes with NumPy's version
would leak training samples into validation: so the numbers are made here, from integer
arithmetic alone.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]

_STEP = 0x9E3779B97F4A7C15  # 2^64 / golden ratio, SplitMix64's own increment
_MASK = 0xFFFFFFFFFFFFFFFF


def key(*parts: int) -> int:
    """Return a 64-bit key that depends on every part and on their order."""
    state = 0
    for part in parts:
        mixed = ((state + _STEP) & _MASK) ^ (part & _MASK)
        state = int(_mix(np.array([mixed], np.uint64))[0])
    return state


def draw(key: int, counters: NDArray[np.int64]) -> UInt64s:
    """Return one 64-bit number for each counter: uint64, of the shape of `counters`."""
    places = counters.astype(np.uint64)
    return _mix(np.uint64(key) + (places + np.uint64(1)) * np.uint64(_STEP))


def below(bound: int, numbers: UInt64s) -> NDArray[np.int64]:
    """Scale 64-bit numbers to integers in [0, bound), for a bound under 2^31.

    Multiplies the upper half (Lemire 2019) without rejection: off from uniform by 2^-32 × bound.
    """
    return ((numbers >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)


def permutation(size: int, key: int) -> NDArray[np.int64]:
    """Return a permutation of range(size), int64: the order of `size` random numbers."""
    return np.argsort(draw(key, np.arange(size)), kind="stable")


def _mix(x: UInt64s) -> UInt64s:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
