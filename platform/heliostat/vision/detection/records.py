"""One image's boxes, as an evaluation keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from heliostat.vision.mistakes import WrongValue


class Boxes(NamedTuple):
    """What was found in an image and what there is; plain tensors on the CPU.

    Boxes are float32 (m, 4), XYXY in pixels of the image.
    """

    found: Tensor
    scores: Tensor
    """float32 (m,)"""
    labels: Tensor
    """int64 (m,), the classes found."""
    true: Tensor
    true_labels: Tensor
    """int64 (k,)"""
    crowd: Tensor
    """bool (k,): many objects in one box, which a detection may lie in without being wrong."""

    @classmethod
    def of(cls, output: Mapping[str, Any], target: Mapping[str, Any]) -> Self:
        """Return a model's output, tensors or arrays, beside the data's target.

        Raises WrongValue where the output is none of a detector's.
        """
        parts = [torch.as_tensor(output[key]) for key in ("boxes", "scores", "labels")]
        count = len(parts[1])
        if [tuple(part.shape) for part in parts] != [(count, 4), (count,), (count,)]:
            shapes = ", ".join(str(tuple(part.shape)) for part in parts)
            raise WrongValue(
                f"the model gives boxes, scores and labels of {shapes};"
                f" detection needs (m, 4), (m,) and (m,)"
            )
        true, labels = target["boxes"], target["labels"]
        crowd = target.get("crowd")
        return cls(
            found=_plain(parts[0], torch.float32),
            scores=_plain(parts[1], torch.float32),
            labels=_plain(parts[2], torch.int64),
            true=_plain(true, torch.float32).reshape(-1, 4),
            true_labels=_plain(labels, torch.int64),
            crowd=torch.zeros(len(labels), dtype=torch.bool)
            if crowd is None
            else _plain(crowd, torch.bool),
        )


def _plain(values: Any, dtype: torch.dtype) -> Tensor:
    """Return it as a tensor of torch's own class: torchvision's pickle their class along."""
    return torch.as_tensor(values).as_subclass(Tensor).detach().to("cpu", dtype)
