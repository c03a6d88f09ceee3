"""Whether a model is right as often as it says: the expected calibration error.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger: On Calibration of Modern Neural Networks, ICML 2017.
"""

from __future__ import annotations

import torch
from torch import Tensor

from heliostat.vision.exact import rounded

BINS = 15
"""Of equal width, each without its lower end and with its upper one, as in the paper."""


class Calibration:
    """How many samples, and how many right ones, had a top probability within each bin."""

    def __init__(self) -> None:
        self.seen = torch.zeros(BINS, dtype=torch.int64)
        self.hits = torch.zeros(BINS, dtype=torch.int64)
        self.confidence = torch.zeros(BINS, dtype=torch.float64)

    def update(self, confidence: Tensor, right: Tensor) -> None:
        """Count n samples: top probabilities, float (n,), and whether they were right, bool."""
        if self.seen.device != confidence.device:
            self.seen, self.hits, self.confidence = (
                value.to(confidence.device) for value in (self.seen, self.hits, self.confidence)
            )
        ends = torch.arange(1, BINS, device=confidence.device) / BINS
        bins = (torch.bucketize(confidence.contiguous(), ends),)  # NaN comes into the last
        self.seen.index_put_(bins, torch.ones_like(bins[0]), accumulate=True)
        self.hits.index_put_(bins, right.long(), accumulate=True)
        self.confidence.index_put_(bins, rounded(confidence), accumulate=True)

    def state(self) -> dict[str, Tensor]:
        """Return the sums themselves."""
        return {
            "calibration_seen": self.seen,
            "calibration_hits": self.hits,
            "calibration_confidence": self.confidence,
        }

    def error(self) -> float:
        """Return the mean over samples of |accuracy - confidence| of a sample's bin, 0 to 1.

        NaN if nothing was seen.
        """
        gaps = (self.hits.double() - self.confidence).abs()
        return float(gaps.sum() / self.seen.sum())
