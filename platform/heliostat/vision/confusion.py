"""Precision, recall and F1 from a confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PerClass:
    """One number a class, each array of shape (K,). A ratio without a sample is 0."""

    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]
    f1: npt.NDArray[np.float64]
    support: npt.NDArray[np.int64]
    """Samples of the class."""


def per_class(counts: npt.NDArray[np.int64]) -> PerClass:
    """Return the figures of each class from (K, K) counts, rows truth and columns prediction.

    As scikit-learn's `precision_recall_fscore_support(labels=range(K), zero_division=0)`.
    """
    hits, predicted, support = np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)
    return PerClass(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, predicted + support),
        support=support,
    )


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
