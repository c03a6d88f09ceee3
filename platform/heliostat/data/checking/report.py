"""What a check says: findings, and what there is of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FindingKind = Literal[
    "undecodable",  # missing, truncated, or in no form that is read; of a mask as well
    "broken_annotation",  # what is annotated cannot be read
    "undeclared_class",  # a label or an object of no class that has a name
    "empty_box",  # no area
    "outside_box",  # more than a pixel of it is outside the image
    "undeclared_value",  # a mask's pixels are of no class, and not 255
    "mask_size",  # a mask, or an outline's, is not of the image's size
    "not_rgb",  # grey, a palette… where most are RGB
    "duplicate",  # the same picture as another of its split
    "leakage",  # the same picture as one of another split
    "missing_class",  # no sample of a class in a split
    "imbalance",  # the most frequent class of a split is 10 times the rarest, or more
]

BREAKING: frozenset[FindingKind] = frozenset(
    (
        "undecodable",
        "broken_annotation",
        "undeclared_class",
        "empty_box",
        "undeclared_value",
        "mask_size",
        "leakage",
    )
)
"""With these, training stops, or its figures mislead."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    kind: FindingKind
    split: str
    sample: str
    """The name of its record (`Record.name`); empty where it is about the whole split."""
    message: str


@dataclass(frozen=True)
class Report:
    """What a check found."""

    samples: Mapping[str, int]
    """How many were looked at, by split."""
    classes: Mapping[str, Mapping[str, int]]
    """By split and class: images of this label or domain, objects, or images whose mask has it."""
    findings: tuple[Finding, ...]
    """In the order of splits and samples; at the end of each split, those about all of it."""

    @property
    def counts(self) -> dict[FindingKind, int]:
        """How many findings there are of each kind that was found, the most first."""
        return dict(Counter(finding.kind for finding in self.findings).most_common())

    @property
    def breaks(self) -> bool:
        """Whether a finding breaks training, or misleads about its result."""
        return not BREAKING.isdisjoint(self.counts)
