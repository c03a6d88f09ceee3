"""Noise as a pure function of seeds."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from heliostat.vision.generation.noise import noise, seeds_of


def test_noise_is_standard_normal_and_rows_of_neighbouring_seeds_are_independent() -> None:
    values = noise(torch.arange(-5_000, 5_000), 101).double().numpy()
    assert values.shape == (10_000, 101)
    assert abs(values.mean()) < 0.005
    assert abs(values.std() - 1) < 0.005
    assert abs(stats.kurtosis(values, axis=None)) < 0.02
    assert stats.kstest(values[:, ::7].ravel(), "norm").pvalue > 0.001
    # Among 101 × 100 correlations of 10,000 pairs, the largest is expected at 0.04.
    between_columns = np.corrcoef(values.T) - np.eye(101)
    assert np.abs(between_columns).max() < 0.055
    between_rows = np.corrcoef(values[:300]) - np.eye(300)
    assert abs(between_rows.mean()) < 0.002
    assert abs(between_rows.std() - 101**-0.5) < 0.005


def test_a_seed_gives_the_same_noise_in_any_batch_and_whatever_was_drawn_before() -> None:
    seeds = torch.tensor([3, -(2**63), 2**63 - 1, 0, 3])
    torch.manual_seed(1)
    first = noise(seeds, 100)
    torch.randn(5)
    assert torch.equal(noise(seeds, 100), first)
    assert torch.equal(first[0], first[4])
    assert torch.equal(noise(seeds[1:3], 100), first[1:3])
    assert torch.equal(noise(seeds, 100)[:, :7], noise(seeds.flip(0), 100).flip(0)[:, :7])
    assert len(torch.unique(first, dim=0)) == 4


def test_the_bits_are_splitmix64_s() -> None:
    """The first number of seed 0 follows from two rounds of the published generator."""

    def splitmix64(state: int) -> int:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
        return state ^ (state >> 31)

    assert splitmix64(0) == 0xE220A8397B1DCDAF
    bits = splitmix64(splitmix64(0))
    radius = np.sqrt(-2 * np.log(((bits >> 40) + 1) / 2**24))
    angle = 2 * np.pi * ((bits >> 16) % 2**24) / 2**24
    pair = noise(torch.tensor([0]), 2)[0]
    np.testing.assert_allclose(pair, [radius * np.cos(angle), radius * np.sin(angle)], rtol=1e-6)


def test_every_pixel_counts_in_the_seed_of_an_image() -> None:
    images = torch.randint(0, 256, (1, 1, 5, 5), dtype=torch.uint8).repeat(26, 1, 1, 1)
    for place in range(25):
        images[place + 1].view(-1)[place] ^= 128
    seeds = seeds_of(images)
    assert len(torch.unique(seeds)) == 26
    assert torch.equal(seeds_of(images[7:9]), seeds[7:9])
    rgb = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    by_pixel = rgb.to(memory_format=torch.channels_last)
    assert torch.equal(seeds_of(by_pixel), seeds_of(rgb))
