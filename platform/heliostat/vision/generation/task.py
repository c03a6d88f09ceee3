"""Generation of images like the data's, by a generator and a discriminator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from heliostat.vision.generation.evaluation import (
    Conditions,
    GenerationEvaluation,
    check_same_size,
    metric_names,
)
from heliostat.vision.generation.features import Features
from heliostat.vision.generation.pixels import to_floats
from heliostat.vision.generation.sampling import Sampler, rows
from heliostat.vision.mistakes import WrongTargets, WrongValue
from heliostat.vision.task import Turn

LOSSES = ("cross_entropy", "hinge")


class Generation:
    """The task: inputs are images, uint8 (n, C, H, W); targets their classes int64 (n,), or None.

    A model has `generator` (noise (n, latent), classes or None → images on -1..1),
    `discriminator` (such images, classes or None → logits (n,)), `latent` and `classes` (how many
    it knows, or None). By class where `conditional`. `features` is the path of a classifier's
    exported program: the metrics, `frechet_distance`, `kernel_distance` and, where it knows as
    many classes, `class_accuracy`, are of its features; without it there are none.
    `loss` is the non-saturating cross-entropy (Goodfellow et al. 2014), in which real images count
    as `1 - label_smoothing`, or `hinge` (Lim and Ye 2017).

    Raises WrongValue (a ValueError) for arguments that don't go together.
    """

    pictures_by_epoch = True
    """What the network makes of the same noise is worth a look after each epoch."""
    gives = "generated"

    def __init__(
        self,
        classes: Sequence[str] = (),
        conditional: bool = False,
        features: str | None = None,
        label_smoothing: float = 0.0,
        loss: str = "cross_entropy",
    ) -> None:
        if conditional and not classes:
            raise WrongValue("generation by class needs classes, and the data names none")
        if not 0 <= label_smoothing < 0.5:
            raise WrongValue(f"label_smoothing is {label_smoothing}; valid: 0 to below 0.5")
        if loss not in LOSSES:
            raise WrongValue(f"no loss {loss!r}; valid: {', '.join(LOSSES)}")
        names = tuple(str(name) for name in classes)
        self.conditions = Conditions(names if conditional else None)
        self.features = None if features is None else Features(features)
        self.metrics: tuple[str, ...] = metric_names(self.conditions, self.features)
        # The generator's turn comes first, and the images it made are used again in the other.
        self.turns = (
            Turn("generator", self.generator_loss, _parameters("generator")),
            Turn("discriminator", self.discriminator_loss, _parameters("discriminator")),
        )
        self._smoothing = label_smoothing
        self._hinge = loss == "hinge"
        self._made: deque[Tensor] = deque()

    @staticmethod
    def reads(args: Mapping[str, Any]) -> str:
        """Return what the data is read as: images alone, unless generation is by class."""
        return "labels" if args.get("conditional") else "images"

    def generator_loss(self, model: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        """Return how far each of n made images is from passing for real, float32 (n,).

        Noise is drawn from torch's global generator; classes are those of the n real images.
        """
        adversaries: Any = model
        classes = self.conditions.of(targets)
        drawn = torch.randn(len(inputs), adversaries.latent, device=inputs.device)
        made = adversaries.generator(drawn, classes)
        check_same_size(made, inputs)
        self._made.append(made.detach())
        logits = adversaries.discriminator(made, classes).float()
        return -logits if self._hinge else functional.softplus(-logits)

    def discriminator_loss(self, model: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        """Return the loss of telling each real image and the one made beside it, float32 (n,).

        Real and made images go through in batches of their own: BatchNorm's statistics are theirs
        (https://github.com/soumith/ganhacks, 4). Raises IndexError out of the generator's turn.
        """
        adversaries: Any = model
        classes = self.conditions.of(targets)
        of_real = adversaries.discriminator(to_floats(inputs), classes).float()
        of_made = adversaries.discriminator(self._made.popleft(), classes).float()
        if self._hinge:
            return functional.relu(1 - of_real) + functional.relu(1 + of_made)
        wanted = torch.full_like(of_real, 1 - self._smoothing)
        for_real = functional.binary_cross_entropy_with_logits(of_real, wanted, reduction="none")
        return for_real + functional.softplus(of_made)

    def loss(self, model: nn.Module, inputs: Tensor, targets: Any) -> Tensor:
        """Return the sum of both turns' losses, float32 (n,); training takes the turns."""
        made = self.generator_loss(model, inputs, targets)
        return made + self.discriminator_loss(model, inputs, targets)

    def check_samples(self, inputs: Any, targets: Any) -> None:
        """Raise WrongTargets for anything but images of one size, with classes if by class.

        Raises WrongValue where the features' classifier takes other images.
        """
        if not isinstance(inputs, Tensor):
            raise WrongTargets("the data has boxes or masks; generation learns from images alone")
        if inputs.dtype != torch.uint8 or inputs.ndim != 4 or inputs.shape[1] not in (1, 3):
            raise WrongTargets(
                f"the data's inputs are {str(inputs.dtype).removeprefix('torch.')} of shape"
                f" {tuple(inputs.shape[1:])}; generation needs uint8 images of 1 or 3 channels"
            )
        self.conditions.of(targets)
        if self.features is not None:
            self.features.check(tuple(inputs.shape[1:]))

    def assemble(self, net: nn.Module, mean: Any, std: Any) -> nn.Module:
        """Return the net itself: it works on the scale -1..1, whatever the data's statistics.

        Raises WrongValue for a net without the parts that `Generation` names, or one that knows
        other classes.
        """
        adversaries: Any = net
        missing = [part for part in _PARTS if not hasattr(net, part)]
        if missing:
            raise WrongValue(f"a model for generation has {_PARTS}; this has no {missing[0]}")
        wanted = len(self.conditions.classes) if self.conditions.classes else None
        if wanted is None and hasattr(net, "forget_classes"):
            adversaries.forget_classes()
        if adversaries.classes != wanted:
            raise WrongValue(
                f"the model knows {adversaries.classes or 'no'} classes, and the task"
                f" {'has ' + str(wanted) if wanted else 'is not conditional'}"
            )
        return net

    def evaluation(self) -> GenerationEvaluation:
        """Return a fresh evaluation."""
        return GenerationEvaluation(self.conditions, self.features)

    def registered_evaluation(self) -> GenerationEvaluation:
        """Return a fresh evaluation of the predictor; WrongValue without features."""
        if self.features is None:
            raise WrongValue(
                "generated images are measured by a classifier's features, and the model was"
                " trained without (task.args.features)"
            )
        return self.evaluation()

    def predictor(self, model: nn.Module) -> nn.Module:
        """Return the module that makes images, uint8 (n, C, H, W), of rows of seeds (n, 1), or
        by class of seeds and classes (n, 2), int64."""
        adversaries: Any = model
        conditional = self.conditions.classes is not None
        return Sampler(adversaries.generator, adversaries.latent, conditional=conditional)

    def example(self, inputs: Tensor) -> Tensor:
        """Return two rows that the predictor takes."""
        seeds = torch.arange(2, device=inputs.device)
        return rows(seeds, None if self.conditions.classes is None else torch.zeros_like(seeds))


_PARTS = ("generator", "discriminator", "latent", "classes")


def _parameters(name: str) -> Callable[[nn.Module], Iterable[nn.Parameter]]:
    def of(model: nn.Module) -> Iterable[nn.Parameter]:
        return model.get_submodule(name).parameters()

    return of
