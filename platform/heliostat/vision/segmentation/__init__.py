"""Semantic segmentation: a class for each pixel."""

from __future__ import annotations

from heliostat.vision.segmentation.models import CATALOGUE
from heliostat.vision.segmentation.task import Segmentation

__all__ = ["CATALOGUE", "Segmentation"]
