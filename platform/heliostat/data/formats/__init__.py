"""The field's formats: what lies at a path becomes records of encoded images and annotations."""

from heliostat.data.formats.detect import NAMES, detect, open_listing

__all__ = ["NAMES", "detect", "open_listing"]
