"""Object detection: boxes with classes.

`task` is the task, `models` its detectors by name, `standalone` builds them without heliostat,
`coco` is COCO's evaluator in memory, which `evaluation` feeds and `pictures` draws.
"""

from heliostat.vision.detection.models import CATALOGUE
from heliostat.vision.detection.task import Detection

__all__ = ["CATALOGUE", "Detection"]
