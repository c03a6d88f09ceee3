"""How evenly a split's classes are filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heliostat.data.checking.report import Finding
from heliostat.data.records import Kind

_UNEVEN = 10.0
_COUNTED: Mapping[Kind, str] = {
    "labels": "images",
    "domains": "images",
    "objects": "objects",
    "masks": "images with it",
}


def about_balance(kind: Kind, split: str, per_class: Mapping[str, int]) -> Iterator[Finding]:
    """Say which classes a split lacks, and whether one is 10 times another or more."""
    counted = _COUNTED.get(kind)
    if counted is None or not per_class:
        return
    filled = {name: count for name, count in per_class.items() if count}
    if not filled:
        yield Finding("missing_class", split, "", "no sample is annotated")
        return
    for name in per_class:
        if name not in filled:
            yield Finding("missing_class", split, "", f"class {name} has no {counted}")
    most, least = max(filled, key=filled.__getitem__), min(filled, key=filled.__getitem__)
    ratio = filled[most] / filled[least]
    if ratio >= _UNEVEN:
        sides = f"{most} has {filled[most]:,} {counted}, {least} {filled[least]:,}"
        yield Finding("imbalance", split, "", f"{sides}: {ratio:.1f} to 1")
