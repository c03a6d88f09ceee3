"""What a class is called in the names of metrics."""

from __future__ import annotations

import re
from collections.abc import Sequence

PER_CLASS_LIMIT = 20
"""With more classes than this, figures of each class are a picture and not metrics."""


def metric_labels(classes: Sequence[str]) -> tuple[str, ...]:
    """Return a label a class that MLflow takes in a metric's name, all different; none if many."""
    if len(classes) > PER_CLASS_LIMIT:
        return ()
    labels: list[str] = []
    for number, name in enumerate(classes):
        label = re.sub(r"[^\w\- .]", "_", name)[:60].strip(" .") or f"class_{number}"
        labels.append(f"{label}_{number}" if label in labels else label)
    return tuple(labels)
