"""How well images come back from the other domain, and how near they are to true pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from heliostat.vision.gallery import Gallery
from heliostat.vision.mistakes import WrongValue
from heliostat.vision.translation import pictures
from heliostat.vision.translation.pixels import as_bytes, distance, domains

_SHOWN = 6


class TranslationEvaluation:
    """Sums over samples: integers, and distances rounded so that their order doesn't matter.

    What is scored against true pairs is bytes, just those that the registered model gives.
    """

    def __init__(
        self, classes: Sequence[str], metrics: Sequence[str], *, forward: bool, dark: bool
    ) -> None:
        """Score A→B if `forward`, else B→A; Dice is of pixels below a half if `dark`."""
        self._classes = classes
        self._metrics = metrics
        self._forward = forward
        self._dark = dark
        self.shown = Gallery(_SHOWN)
        self._titles: Sequence[str] = ()
        self._sums = {name: torch.zeros((), dtype=torch.float64) for name in _DISTANCES}
        self._sums |= {name: torch.zeros((), dtype=torch.int64) for name in _COUNTS}

    def update(self, model: nn.Module, inputs: Tensor, targets: Any) -> None:
        """Count a batch of n samples, uint8 (n, 2, C, H, W)."""
        parts: Any = model
        a, b = domains(inputs)
        self._move_to(a.device)
        fake_b, fake_a = parts.a_to_b(a), parts.b_to_a(b)
        back_a, back_b = parts.b_to_a(fake_b), parts.a_to_b(fake_a)
        # Of two domains, and on a scale of 2: a quarter is the mean on the scale of 0..1.
        self._add("cycle", (distance(back_a, a) + distance(back_b, b)) / 4)
        same = distance(parts.b_to_a(a), a) + distance(parts.a_to_b(b), b)
        self._add("identity", same / 4)
        self._sums["seen"] += len(a)
        if "dice" in self._metrics:
            translated, truth = (fake_b, b) if self._forward else (fake_a, a)
            self._score(as_bytes(translated), as_bytes(truth))
        columns = (a, fake_b, back_a, b, fake_a, back_b)
        self._show([as_bytes(column) for column in columns], pictures.there_and_back(self._classes))

    def update_registered(
        self, ask: Callable[[Any], Any], inputs: Tensor, targets: Any, first: int
    ) -> None:
        """Count n true pairs, uint8 (n, 2, C, H, W), by a predictor, which translates one way.

        `l1` and `dice` alone follow. Raises WrongValue where images change their size or channels.
        """
        a, b = inputs.unbind(1)
        source, truth = (a, b) if self._forward else (b, a)
        translated = torch.as_tensor(ask(source.contiguous()))
        if translated.shape != truth.shape:
            made, needed = ("×".join(map(str, x.shape[1:])) for x in (translated, truth))
            raise WrongValue(f"the model makes images of {made}, and the data's are {needed}")
        self._move_to(translated.device)
        self._sums["seen"] += len(inputs)
        self._score(translated, truth)
        self._show((source, translated, truth), pictures.one_way(self._classes, self._forward))

    def state(self) -> dict[str, Tensor]:
        """Return the sums themselves; `seen` is the number of samples."""
        return self._sums

    def compute(self) -> dict[str, float]:
        """Return the task's metrics: distances are NaN if nothing was seen, Dice if nothing is of
        the foreground anywhere."""
        values = {name: float(self._sums[name] / self._sums["seen"]) for name in _DISTANCES}
        values["dice"] = float(2 * self._sums["overlap"] / self._sums["foreground"])
        return {name: values[name] for name in self._metrics if name in values}

    def pictures(self) -> dict[str, Image.Image]:
        """Return `samples` if any were seen: images of both, translated and brought back; of a
        predictor, images, their translations and the truth."""
        shown = self.shown.samples()
        if not shown:
            return {}
        return {"samples": pictures.columns([each.image for each in shown], self._titles)}

    def _add(self, name: str, distances: Tensor) -> None:
        """Add distances rounded to multiples of 2^-32: their sums are exact up to 2^21."""
        self._sums[name] += (distances.double() * 2.0**32).round().sum() / 2.0**32

    def _score(self, translated: Tensor, truth: Tensor) -> None:
        self._add("l1", distance(translated, truth) / 255)
        found, wanted = ((each >= 128) != self._dark for each in (translated, truth))
        self._sums["overlap"] += (found & wanted).sum()
        self._sums["foreground"] += found.sum() + wanted.sum()

    def _show(self, columns: Sequence[Tensor], titles: Sequence[str]) -> None:
        """Offer each sample's images, uint8, as one, side by side."""
        self._titles = titles
        rows = torch.cat(list(columns), dim=3)
        if rows.shape[1] in (1, 3):
            nothing = torch.zeros(len(rows), device=rows.device)
            self.shown.offer(rows, nothing, nothing, nothing)

    def _move_to(self, device: torch.device) -> None:
        """Sums live where the model's outputs are: adding then never waits for a GPU."""
        if self._sums["seen"].device != device:
            self._sums = {name: value.to(device) for name, value in self._sums.items()}


_DISTANCES = ("cycle", "identity", "l1")
_COUNTS = ("overlap", "foreground", "seen")
