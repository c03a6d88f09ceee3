"""The networks that segment, by name."""

from __future__ import annotations

from heliostat.vision.catalogue import Catalogue
from heliostat.vision.segmentation import torchvision_segmenters
from heliostat.vision.segmentation.unet import unet

CATALOGUE = Catalogue("segmentation model", {"unet": unet}, torchvision_segmenters)
