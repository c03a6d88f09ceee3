"""Randomness as a function of where training is, so that no generator's state need be saved."""

from __future__ import annotations

import hashlib

import torch


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed the randomness inside one step (dropout, noise): its own for each step and rank."""
    torch.manual_seed(_mix(f"{seed}/{step}/{rank}"))


def _mix(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
