"""Unpaired translation of images between two domains."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from heliostat.vision.mistakes import WrongTargets, WrongValue
from heliostat.vision.task import Turn
from heliostat.vision.translation.evaluation import TranslationEvaluation
from heliostat.vision.translation.models import PARTS
from heliostat.vision.translation.pixels import as_bytes, check_pairs, distance, domains, signed

Direction = Literal["a_to_b", "b_to_a"]


class Translation:
    """The task: inputs are uint8 (n, 2, C, H, W), an image of A and one of B; no targets.

    Zhu et al. 2017 (https://arxiv.org/abs/1703.10593): generators are trained by least squares
    against discriminators of patches, `cycle` times the L1 distance of A→B→A and B→A→B from where
    they began, and `identity` times that of an image from what is made of it in its own domain.

    Metrics: `cycle` and `identity`, those distances on a scale of 0..1, means of both domains'.
    Where `paired`, held-out samples are true pairs, which are for scoring only: `l1`, the distance
    of a translation from the truth, and `dice` of their `foreground`, the pixels on one side of a
    half. `direction` is what is scored so, and what the registered model does.
    """

    reads = "domains"
    """What the data is made into: samples of an image of either domain."""
    gives = "image"

    def __init__(
        self,
        classes: Sequence[str],
        cycle: float = 10.0,
        identity: float = 5.0,
        direction: Direction = "a_to_b",
        paired: bool = False,
        foreground: Literal["bright", "dark"] = "bright",
    ) -> None:
        _check_arguments(cycle, identity, direction, foreground)
        if len(classes) != 2:
            raise WrongTargets(f"translation needs two domains, and the data has {len(classes)}")
        self.classes = tuple(str(name) for name in classes)
        self.direction = direction
        self.foreground = foreground
        self.metrics: tuple[str, ...] = ("cycle", "identity", *(_OF_PAIRS if paired else ()))
        self.turns = (
            Turn("generators", self.loss, _generators),
            Turn("discriminators", self._discriminators_loss, _discriminators),
        )
        self._cycle = cycle
        self._identity = identity
        self._paired = paired
        # What the generators' turn made, for that of the discriminators, which follows it.
        self._fakes: deque[tuple[Tensor, Tensor]] = deque()

    def check_samples(self, inputs: Any, targets: Any) -> None:
        """Raise WrongTargets for what is not uint8 images of two domains, in a size that fits."""
        check_pairs(inputs)
        if inputs.dtype != torch.uint8:
            raise WrongTargets(f"images are {inputs.dtype}; translation needs uint8")

    def assemble(self, net: nn.Module, mean: Any, std: Any) -> nn.Module:
        """Return `net`; raises WrongValue where it lacks a part. Images go from -1 to 1 always."""
        missing = [part for part in PARTS if not isinstance(getattr(net, part, None), nn.Module)]
        if missing:
            raise WrongValue(f"a model for translation has the modules {', '.join(missing)} too")
        return net

    def loss(self, model: nn.Module, inputs: Tensor, targets: Any) -> dict[str, Tensor]:
        """Return the generators' losses of each sample, float32 (n,), weighted.

        What they made is kept for the discriminators' turn with the same batch.
        """
        parts: Any = model
        a, b = domains(inputs)
        fake_b, same_b = self._made(parts.a_to_b, a, b)
        fake_a, same_a = self._made(parts.b_to_a, b, a)
        self._fakes.append((fake_a.detach(), fake_b.detach()))
        fooled = _error(parts.discriminate_a(fake_a), 1) + _error(parts.discriminate_b(fake_b), 1)
        there_and_back = distance(parts.b_to_a(fake_b), a) + distance(parts.a_to_b(fake_a), b)
        losses = {"adversarial": fooled, "cycle": self._cycle * there_and_back}
        if same_a is not None and same_b is not None:
            losses["identity"] = self._identity * (distance(same_a, a) + distance(same_b, b))
        return losses

    def evaluation(self) -> TranslationEvaluation:
        """Return a fresh evaluation."""
        return self._evaluation(self.metrics)

    def registered_evaluation(self) -> TranslationEvaluation:
        """Return a fresh evaluation of the predictor: `l1` and `dice`; WrongValue without pairs."""
        if not self._paired:
            raise WrongValue(
                "the registered model translates one way, so nothing comes back for cycle and"
                " identity; l1 and dice need true pairs, and the model was trained without"
                " (task.args.paired)"
            )
        return self._evaluation(_OF_PAIRS)

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module that translates uint8 (n, C, H, W) of one domain into the other's."""
        generator: nn.Module = getattr(model, self.direction)
        return _Translator(generator)

    def example(self, inputs: Tensor) -> Tensor:
        """Return the images that the predictor takes, of samples (n, 2, C, H, W)."""
        return inputs[:, 0 if self._forward else 1].contiguous()

    @property
    def _forward(self) -> bool:
        return self.direction == "a_to_b"

    def _evaluation(self, metrics: tuple[str, ...]) -> TranslationEvaluation:
        return TranslationEvaluation(
            self.classes, metrics, forward=self._forward, dark=self.foreground == "dark"
        )

    def _made(
        self, generator: nn.Module, source: Tensor, own: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return what is made of the source's images, and of those of its own domain."""
        if not self._identity:
            return generator(source), None
        fake, same = generator(torch.cat([source, own])).chunk(2)
        return fake, same

    def _discriminators_loss(
        self, model: nn.Module, inputs: Tensor, targets: Any
    ) -> dict[str, Tensor]:
        parts: Any = model
        a, b = domains(inputs)
        fake_a, fake_b = self._fakes.popleft()
        return {
            "discriminator_a": _told_apart(parts.discriminate_a, a, parts.pool_a(fake_a)),
            "discriminator_b": _told_apart(parts.discriminate_b, b, parts.pool_b(fake_b)),
        }


_OF_PAIRS = ("l1", "dice")


class _Translator(nn.Module):
    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, images: Tensor) -> Tensor:
        return as_bytes(self.generator(signed(images)))


def _check_arguments(cycle: float, identity: float, direction: str, foreground: str) -> None:
    if min(cycle, identity) < 0:
        raise WrongValue(f"weights of losses are not below 0: cycle {cycle}, identity {identity}")
    if direction not in ("a_to_b", "b_to_a"):
        raise WrongValue(f"no direction {direction!r}; valid: a_to_b, b_to_a")
    if foreground not in ("bright", "dark"):
        raise WrongValue(f"no foreground {foreground!r}; valid: bright, dark")


def _generators(model: nn.Module) -> Iterator[nn.Parameter]:
    parts: Any = model
    return chain(parts.a_to_b.parameters(), parts.b_to_a.parameters())


def _discriminators(model: nn.Module) -> Iterator[nn.Parameter]:
    parts: Any = model
    return chain(parts.discriminate_a.parameters(), parts.discriminate_b.parameters())


def _error(scores: Tensor, wanted: float) -> Tensor:
    """Return the mean square error of each image's patches, float32 (n,) (LSGAN)."""
    return (scores.float() - wanted).square().mean((1, 2, 3))


def _told_apart(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return a discriminator's loss: half of what the paper's formula says, as the paper does."""
    return (_error(discriminator(real), 1) + _error(discriminator(fake), 0)) / 2
