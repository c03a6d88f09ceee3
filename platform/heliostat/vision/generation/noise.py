"""Noise as a pure function of a seed, by tensor operations: the same on any device and in an
exported program, whatever else has been drawn.

Counter-based: the bits are SplitMix64's (Steele, Lea and Flood 2014, "Fast splittable pseudorandom
number generators"), the normal numbers Box and Muller's (1958).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def noise(seeds: Tensor, latent: int) -> Tensor:
    """Return standard normal noise, float32 (n, latent), for seeds int64 (n,).

    Two different seeds, also neighbours, give independent rows. No number is beyond ±5.8.
    """
    pairs = -(-latent // 2)
    counters = torch.arange(1, pairs + 1, dtype=torch.int64, device=seeds.device)
    bits = _mixed(_mixed(seeds + _GAMMA)[:, None] + counters * _GAMMA)
    # In float64: the last bits of log and cos, which differ between devices, are rounded away.
    radius_share = (_shifted(bits, 40) + 1).double() / _SHARES  # in (0, 1]
    turn = (_shifted(bits, 16) & (_SHARES - 1)).double() / _SHARES
    radius = (-2 * radius_share.log()).sqrt()
    angle = 2 * math.pi * turn
    both = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return both[:, :latent].float()


def seeds_of(images: Tensor) -> Tensor:
    """Return a seed for each image, int64 (n,): a hash of its bytes, images being uint8 (n, …).

    The seed goes with the sample and not with its place, so it is the same at any number of
    workers, whichever of them has the sample. Equal images have equal seeds.
    """
    flat = images.contiguous().flatten(1)
    if flat.shape[1] % 8:
        flat = functional.pad(flat, (0, 8 - flat.shape[1] % 8))
    words = flat.contiguous().view(torch.int64)
    counters = torch.arange(1, words.shape[1] + 1, dtype=torch.int64, device=images.device)
    # A sum of one hash for each word and its place.
    hashes = _mixed(words + _mixed(counters * _GAMMA))
    return _mixed(hashes.sum(dim=1))


_SHARES = 2**24
"""Steps of a uniform number: what float32 holds exactly."""


def _signed(constant: int) -> int:
    return constant - 2**64 if constant >= 2**63 else constant


_GAMMA = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _mixed(values: Tensor) -> Tensor:
    """Return SplitMix64's output function of each value; int64 products wrap around."""
    values = (values ^ _shifted(values, 30)) * _FIRST
    values = (values ^ _shifted(values, 27)) * _SECOND
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, places: int) -> Tensor:
    """Return the values shifted right, zeros coming in: `>>` alone copies the sign."""
    shifted: Tensor = (values >> places) & (2 ** (64 - places) - 1)
    return shifted
