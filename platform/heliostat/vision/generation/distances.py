"""How far generated images are from real ones, by features of both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """The mean, float64 (d,), and the unbiased covariance, float64 (d, d), of features."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, total: Tensor, products: Tensor, count: int) -> Moments:
        """Return them from the sums of features (d,) and of their outer products (d, d)."""
        mean = total / count
        covariance = (products - count * torch.outer(mean, mean)) / (count - 1)
        return cls(mean, covariance)


def frechet_distance(real: Moments, generated: Moments) -> float:
    """Return the squared Fréchet distance of two normal distributions (Heusel et al. 2017).

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), https://arxiv.org/abs/1706.08500. On Inception's
    features this is FID; its values on other features compare only with each other.
    """
    # tr((C1 C2)^½) is the sum of the singular values of C1^½ C2^½: no root of a product that is
    # not symmetric, whose small eigenvalues come out negative or complex.
    roots = _root(real.covariance) @ _root(generated.covariance)
    common = torch.linalg.svdvals(roots).sum()
    spread = real.covariance.trace() + generated.covariance.trace() - 2 * common
    return float((real.mean - generated.mean).square().sum() + spread)


def kernel_distance(real: Tensor, generated: Tensor) -> float:
    """Return the unbiased estimate of the squared MMD (Bińkowski et al. 2018, KID).

    Features (m, d) and (n, d), kernel (x·y / d + 1)³, https://arxiv.org/abs/1801.01401. Being
    unbiased, it may be below 0 where both come from one distribution.
    """
    real, generated = real.double(), generated.double()
    within = _mean_without_diagonal(_kernel(real, real))
    within_generated = _mean_without_diagonal(_kernel(generated, generated))
    return float(within + within_generated - 2 * _kernel(real, generated).mean())


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def _kernel(first: Tensor, second: Tensor) -> Tensor:
    return (first @ second.T / first.shape[1] + 1) ** 3


def _mean_without_diagonal(kernel: Tensor) -> Tensor:
    count = len(kernel)
    return (kernel.sum() - kernel.trace()) / (count * (count - 1))
