"""What a job is judged by, and what becomes of its model."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from heliostat.spec.base import Model, Name, wrong_here

_METRIC = re.compile(r"val/[\w.-]+(/[\w.-]+)*")
_ALIAS = re.compile(r"[\w-]{1,255}")
_RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)
_WEIGHT_NAME = re.compile(r"(\w+_Weights\.)?[A-Z][A-Z0-9_]*")
_MODEL_URI = re.compile(r"models:/[^/:@]+(/\d+|@[\w-]+)")


def _val_metric(metric: str) -> str:
    split, _, name = metric.rpartition("/")
    if split in {"train", "test"}:
        raise wrong_here(f"{metric!r}: selection looks at val only", f"val/{name}")
    if not _METRIC.fullmatch(metric):
        raise wrong_here(f"{metric!r} is not a metric of val", "such as val/accuracy")
    return metric


def _legal_alias(alias: str) -> str:
    if not _ALIAS.fullmatch(alias):
        raise wrong_here(f"{alias!r} is not a legal alias", "letters, digits, `-` and `_`")
    if _RESERVED_ALIAS.fullmatch(alias):
        raise wrong_here(f"the alias {alias!r} is MLflow's own", "another, such as champion")
    return alias


def _registered_model(uri: str) -> str:
    if not _MODEL_URI.fullmatch(uri):
        valid = "models:/name/version or models:/name@alias"
        raise wrong_here(f"{uri!r} is not a registered model", valid)
    return uri


def _weights(uri: str) -> str:
    if uri.startswith("models:"):
        return _registered_model(uri)
    if not uri.endswith(".safetensors") and not is_weight_name(uri):
        valid = "models:/name/version, models:/name@alias, a .safetensors file, or IMAGENET1K_V1"
        raise wrong_here(f"{uri!r} is not a file of weights", valid)
    return uri


def is_weight_name(text: str) -> bool:
    """Say whether `text` names weights of torchvision's: IMAGENET1K_V1, or with their class."""
    return _WEIGHT_NAME.fullmatch(text) is not None


ModelUri = Annotated[str, AfterValidator(_registered_model)]
"""A registered model: `models:/name/3` or `models:/name@alias`."""

WeightsUri = Annotated[str, AfterValidator(_weights)]
"""A registered model, a path or URI of a `.safetensors` file, or a name of torchvision's."""


class Objective(Model):
    """The metric by which the best checkpoint, model or trial is chosen: one of `val`."""

    metric: Annotated[str, AfterValidator(_val_metric)] = Field(examples=["val/accuracy"])
    goal: Literal["maximize", "minimize"] = Field(examples=["maximize"])


class Register(Model):
    """The registered model that a job's model becomes a version of.

    `alias` moves to the new version always, or only when it is better by the job's objective.
    """

    name: Name = Field(examples=["digits"])
    alias: Annotated[str, AfterValidator(_legal_alias)] | None = None
    when: Literal["better", "always"] = "better"
