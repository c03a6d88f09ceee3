"""Code that draws from the process's global random generators, seeded for each sample."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from heliostat.data import counter
from heliostat.data.samples import Indices


def seeds(stream: int, key: tuple[int, int], indices: Indices) -> list[int]:
    """Return a seed of 63 bits for each sample: a function of the stream, (seed, epoch), sample."""
    numbers = counter.draw(counter.key(stream, *key), indices) >> np.uint64(1)
    found: list[int] = numbers.tolist()
    return found


@contextmanager
def own_draws() -> Iterator[None]:
    """Put the global random states back afterwards: the training step draws from them too."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
