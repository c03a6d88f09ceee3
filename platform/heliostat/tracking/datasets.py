"""Datasets as MLflow inputs of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow.entities import Dataset, DatasetInput, InputTag

from heliostat.tracking.client import connect, reaching

_DIGEST = 16  # shown in the UI beside the name; MLflow's limit is 36


@dataclass(frozen=True)
class DatasetFacts:
    """What a run read."""

    context: str
    """train | val | test | input"""
    name: str
    uri: str
    split: str | None
    fingerprint: str
    """Of the content, in hex; MLflow keeps its first 16 characters as the digest."""
    samples: int
    classes: tuple[str, ...] = ()


def log_datasets(uri: str, run_id: str, datasets: Iterable[DatasetFacts]) -> None:
    """Record `datasets` as inputs of the run; the same ones again change nothing."""
    inputs: dict[tuple[str, str], list[DatasetFacts]] = {}
    for facts in datasets:
        inputs.setdefault((_name(facts), facts.fingerprint), []).append(facts)
    if inputs:
        with reaching(uri):
            connect(uri).log_inputs(run_id, datasets=[_input(same) for same in inputs.values()])


def _input(same: list[DatasetFacts]) -> DatasetInput:
    # MLflow stores a dataset once a run: one that serves as two gets both contexts.
    facts = same[0]
    context = ", ".join(dict.fromkeys(one.context for one in same))
    source_type, source = _source(facts.uri)
    profile = {
        "num_rows": facts.samples,
        "num_classes": len(facts.classes) or None,
        "classes": list(facts.classes[:1000]),
        "split": facts.split,
        "fingerprint": facts.fingerprint,
    }
    dataset = Dataset(
        name=_name(facts),
        digest=facts.fingerprint[:_DIGEST],
        source_type=source_type,
        source=json.dumps(source),
        profile=json.dumps({k: v for k, v in profile.items() if v not in (None, [])}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _name(facts: DatasetFacts) -> str:
    return f"{facts.name} {facts.split}"[:500] if facts.split else facts.name[:500]


def _source(uri: str) -> tuple[str, dict[str, str]]:
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        return "http", {"url": uri}
    if scheme in ("s3", "gs"):
        return scheme, {"uri": uri}
    if scheme in ("", "file"):
        return "local", {"uri": uri}
    return "external", {"uri": uri}  # sklearn:digits, torchvision:CIFAR10, module:Class
