"""Generation of images: a network that makes them learns from one that tells them from real."""

from heliostat.vision.generation.models import CATALOGUE
from heliostat.vision.generation.task import Generation

__all__ = ["CATALOGUE", "Generation"]
