"""Classification of images into K classes: the task, and its evaluation."""

from heliostat.vision.classification.evaluation import ClassificationEvaluation
from heliostat.vision.classification.task import Classification

__all__ = ["Classification", "ClassificationEvaluation"]
