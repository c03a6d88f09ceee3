"""The distances between features of real and of generated images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel
from torch import Tensor

from heliostat.vision.generation.distances import Moments, frechet_distance, kernel_distance


def features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    return torch.randn(count, 12, generator=generator, dtype=torch.float64) @ mixing + shift


def moments(values: Tensor) -> Moments:
    return Moments.of(values.sum(dim=0), values.T @ values, len(values))


def test_the_frechet_distance_is_that_of_its_formula() -> None:
    real, generated = features(400, 0), features(300, 1, shift=0.5)
    covariances = [np.cov(values, rowvar=False) for values in (real, generated)]
    difference = (real.mean(dim=0) - generated.mean(dim=0)).numpy()
    root = linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = difference @ difference + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(moments(real), moments(generated)) == pytest.approx(expected, 1e-9)


@pytest.mark.parametrize("count", [400, 5])  # 5: a covariance without full rank
def test_the_frechet_distance_of_a_set_to_itself_is_0(count: int) -> None:
    own = moments(features(count, 0))
    assert frechet_distance(own, own) == pytest.approx(0, abs=1e-9)


def test_the_kernel_distance_is_the_unbiased_estimate_of_its_formula() -> None:
    real, generated = features(70, 0), features(50, 1, shift=0.3)
    settings = {"degree": 3, "gamma": 1 / 12, "coef0": 1}
    within, within_generated, between = (
        polynomial_kernel(one, other, **settings)
        for one, other in ((real, real), (generated, generated), (real, generated))
    )
    expected = (
        within[~np.eye(70, dtype=bool)].mean()
        + within_generated[~np.eye(50, dtype=bool)].mean()
        - 2 * between.mean()
    )
    assert kernel_distance(real, generated) == pytest.approx(expected, 1e-9)


def test_the_kernel_distance_of_one_distribution_is_0_on_average() -> None:
    pool = torch.randn(100, 2, 40, 6, generator=torch.Generator().manual_seed(0))
    estimates = [kernel_distance(one, other) for one, other in pool]
    standard_error = np.std(estimates) / 10
    assert abs(np.mean(estimates)) < 3 * standard_error
    assert min(estimates) < 0
    apart = kernel_distance(pool[0, 0], pool[0, 1] + 1)
    assert apart > 20 * standard_error
