"""The models that make images."""

from __future__ import annotations

from heliostat.vision.catalogue import Catalogue
from heliostat.vision.generation.nets import dcgan

CATALOGUE = Catalogue("generator", {"dcgan": dcgan})
