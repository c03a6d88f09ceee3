"""Unpaired translation of images between two domains (CycleGAN)."""

from heliostat.vision.translation.models import CATALOGUE
from heliostat.vision.translation.task import Translation

__all__ = ["CATALOGUE", "Translation"]
