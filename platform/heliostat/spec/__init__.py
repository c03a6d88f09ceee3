"""What does the job say? YAML text to frozen models; every mistake in it is found here."""

from __future__ import annotations

from heliostat.spec.augmentations import Augment, HorizontalFlip, RandomCrop, RandomResizedCrop
from heliostat.spec.base import LEGAL_NAME, is_legal_name
from heliostat.spec.checkpointing import Checkpointing, Duration, Every, Retention
from heliostat.spec.environment import Secret
from heliostat.spec.jobs import (
    EntrypointSpec,
    EvaluateSpec,
    ModelSpec,
    PredictSpec,
    TaskSpec,
    TrainSpec,
)
from heliostat.spec.load import Document, load
from heliostat.spec.nearest import did_you_mean, nearest
from heliostat.spec.optimizers import Adam, AdamW, Ema, Lion, Muon, Optimizer, Sgd
from heliostat.spec.parse import Spec, dump, parse
from heliostat.spec.problems import InputError, Key, Problem, dotted, together
from heliostat.spec.registration import Objective, Register
from heliostat.spec.resources import Resources, Retries
from heliostat.spec.schedules import Constant, Cosine, OneCycle, Polynomial, Schedule, Step
from heliostat.spec.search_schedulers import Asha, Hyperband, Median, NoScheduler, Pbt, Scheduler
from heliostat.spec.sources import DataSpec, Source
from heliostat.spec.spaces import Choice, Range, Space
from heliostat.spec.splits import Split, parse_split
from heliostat.spec.stalling import Stall
from heliostat.spec.transforms import Transform
from heliostat.spec.tune import Budget, TuneSpec

__all__ = [
    "LEGAL_NAME",
    "Adam",
    "AdamW",
    "Asha",
    "Augment",
    "Budget",
    "Checkpointing",
    "Choice",
    "Constant",
    "Cosine",
    "DataSpec",
    "Document",
    "Duration",
    "Ema",
    "EntrypointSpec",
    "EvaluateSpec",
    "Every",
    "HorizontalFlip",
    "Hyperband",
    "InputError",
    "Key",
    "Lion",
    "Median",
    "ModelSpec",
    "Muon",
    "NoScheduler",
    "Objective",
    "OneCycle",
    "Optimizer",
    "Pbt",
    "Polynomial",
    "PredictSpec",
    "Problem",
    "RandomCrop",
    "RandomResizedCrop",
    "Range",
    "Register",
    "Resources",
    "Retention",
    "Retries",
    "Schedule",
    "Scheduler",
    "Secret",
    "Sgd",
    "Source",
    "Space",
    "Spec",
    "Split",
    "Stall",
    "Step",
    "TaskSpec",
    "TrainSpec",
    "Transform",
    "TuneSpec",
    "did_you_mean",
    "dotted",
    "dump",
    "is_legal_name",
    "load",
    "nearest",
    "parse",
    "parse_split",
    "together",
]
