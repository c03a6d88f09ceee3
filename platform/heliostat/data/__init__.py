"""What a job reads: files of the field's formats become deterministic samples and batches."""

from heliostat.data.augment import check_augment, is_images
from heliostat.data.batches import Batch, Batches, TrainBatches, check_one_size, evaluation_batches
from heliostat.data.classes import align_classes, check_shapes
from heliostat.data.open import open_source
from heliostat.data.samples import Samples
from heliostat.data.statistics import Statistics, statistics

__all__ = [
    "Batch",
    "Batches",
    "Samples",
    "Statistics",
    "TrainBatches",
    "align_classes",
    "check_augment",
    "check_one_size",
    "check_shapes",
    "evaluation_batches",
    "is_images",
    "open_source",
    "statistics",
]
