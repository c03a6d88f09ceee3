"""The samples on which a model is most wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from heliostat.vision.gallery import Shown

LIMIT = 25


@dataclass(frozen=True)
class Bad:
    """A sample with its loss in nats, infinite where it is NaN."""

    loss: float
    shown: Shown


class Worst:
    """The `LIMIT` samples of the highest loss among those that were offered.

    They stay where they are offered: nothing waits for a GPU until `taken` is asked.
    """

    def __init__(self) -> None:
        self._offered = 0
        # Images of one shape can be one tensor; a data set of the user's own may have several.
        self._groups: dict[tuple[torch.Size, torch.dtype], tuple[Tensor, ...]] = {}

    def offer(
        self,
        losses: Tensor,
        images: Tensor,
        targets: Tensor,
        predicted: Tensor,
        probabilities: Tensor,
    ) -> None:
        """Take n samples: images (n, C, H, W), and four tensors (n,)."""
        # Only the batch's worst images are gathered, which are few of it.
        order = _worst_first(losses)[:LIMIT]
        numbers = self._offered + order
        columns = (losses, images, targets, predicted, probabilities)
        group = (numbers, *(column[order] for column in columns))
        self._offered += len(losses)
        key = (images.shape[1:], images.dtype)
        if key in self._groups:
            both = tuple(map(torch.cat, zip(self._groups[key], group, strict=True)))
            # Samples seen before come first among equals, since the order is stable.
            order = _worst_first(both[1])[:LIMIT]
            group = tuple(column[order] for column in both)
        self._groups[key] = group

    def taken(self) -> list[Bad]:
        """Return them on the CPU, the worst first; of equals, the one that was offered first."""
        numbered = [
            (number, Bad(loss, Shown(image, *rest)))
            for numbers, losses, images, *others in self._groups.values()
            for number, loss, image, *rest in zip(
                numbers.tolist(),
                losses.nan_to_num(nan=torch.inf).tolist(),
                # Each a tensor of its own: pickled, a view takes the whole with it.
                (image.clone() for image in images.cpu()),
                *(column.tolist() for column in others),
                strict=True,
            )
        ]
        numbered.sort(key=lambda entry: (-entry[1].loss, entry[0]))
        return [bad for _, bad in numbered[:LIMIT]]


def worst_of(records: Iterable[Bad]) -> list[Bad]:
    """Return the worst of several `taken` lists, one after the other in the order of the data."""
    return sorted(records, key=lambda bad: -bad.loss)[:LIMIT]


def _worst_first(losses: Tensor) -> Tensor:
    """Return the places in falling order of loss; NaN is worse than any number."""
    return losses.sort(descending=True, stable=True).indices
