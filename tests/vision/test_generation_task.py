"""Both turns of generation, what is registered, and data that it cannot learn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from heliostat.data import Batch, open_source
from heliostat.spec import Source, TrainSpec, parse
from heliostat.training.learners import build_learners, step
from heliostat.vision import tasks
from heliostat.vision.export import export
from heliostat.vision.generation import Generation
from heliostat.vision.generation.nets import Dcgan, dcgan
from heliostat.vision.mistakes import WrongTargets, WrongValue

CLASSES = tuple("abcdefghij")


@pytest.fixture
def clothes(shared_data: Path) -> tuple[Tensor, Tensor]:
    """48 images of Fashion-MNIST with their classes."""
    source = Source(uri=str(shared_data / "fashion-mnist"), split="train[:48]")
    inputs, targets = open_source(source).read(np.arange(48))
    return inputs, targets


def spec(**fields: Any) -> TrainSpec:
    values = {
        "kind": "train",
        "name": "gan",
        "task": "generation",
        "model": "dcgan",
        "data": {"train": "images"},
        "batch_size": 48,
        "epochs": 1,
        "optimizer": {"name": "adam", "lr": 2e-3, "betas": [0.5, 0.999]},
        **fields,
    }
    values["model"] = {"name": values["model"]}
    parsed = parse(values)
    assert isinstance(parsed, TrainSpec)
    return parsed


def learned(
    task: Generation, net: Dcgan, batch: tuple[Tensor, Any], steps: int, **fields: Any
) -> list[dict[str, Tensor]]:
    """Take steps as the loop does."""
    settings, cpu = spec(**fields), torch.device("cpu")
    learners = build_learners(settings, task, net, cpu, total_steps=steps, steps_per_epoch=steps)
    inputs, targets = batch
    whole = Batch(inputs, targets, torch.arange(len(inputs)), 0, len(inputs), 1.0)
    return [step(learners, whole, 1, cpu, settings) for _ in range(steps)]


@pytest.mark.parametrize("conditional", [False, True])
def test_a_step_moves_each_network_in_its_turn_and_records_both_losses(
    clothes: tuple[Tensor, Tensor], conditional: bool
) -> None:
    torch.manual_seed(0)
    task = Generation(CLASSES, conditional=conditional)
    net = dcgan(1, 28, 10, width=8)
    task.assemble(net, None, None)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    shares = learned(task, net, clothes, steps=2)[-1]
    assert set(shares) == {"loss", "generator", "discriminator"}
    torch.testing.assert_close(shares["loss"], shares["generator"] + shares["discriminator"])
    still = [name for name, p in net.named_parameters() if torch.equal(p, before[name])]
    assert still == []


def test_in_a_turn_no_gradient_reaches_the_other_network(clothes: tuple[Tensor, Tensor]) -> None:
    task, net = Generation(), dcgan(1, 28, width=8)
    assert [turn.name for turn in task.turns] == ["generator", "discriminator"]
    for turn in task.turns:
        moved = {id(p) for p in turn.parameters(net)}
        for parameter in net.parameters():
            parameter.grad = None
            parameter.requires_grad_(id(parameter) in moved)
        losses = turn.loss(net, clothes[0], None)
        assert isinstance(losses, Tensor)
        assert losses.shape == (48,)
        losses.mean().backward()  # type: ignore[no-untyped-call]
        touched = {id(p) for p in net.parameters() if p.grad is not None}
        assert touched == moved
    assert len(moved) == len(list(net.discriminator.parameters()))


def test_the_images_judged_are_those_that_the_generator_s_turn_made_part_by_part(
    clothes: tuple[Tensor, Tensor],
) -> None:
    """With three parts a step, three batches of images wait for the discriminator's turn."""
    net, seen = dcgan(1, 28, width=8), []
    net.generator.register_forward_hook(lambda *call: seen.append(("made", call[2].detach())))
    net.discriminator.register_forward_hook(lambda *call: seen.append(("judged", call[1][0])))
    learned(Generation(), net, (clothes[0], None), steps=1, accumulate=3)
    made = [images for what, images in seen if what == "made"]
    judged = [images for what, images in seen if what == "judged"]
    assert [len(images) for images in made] == [16, 16, 16]
    assert len(judged) == 3 + 6
    for images, again in zip(made, judged[4::2], strict=True):
        assert torch.equal(images, again)
    real = torch.cat(judged[3::2])
    torch.testing.assert_close(real, clothes[0].float() / 127.5 - 1)


class _Fixed(nn.Module):
    """Two networks that give the numbers they hold."""

    def __init__(self, of_made: Tensor, of_real: Tensor) -> None:
        super().__init__()
        self.latent, self.classes = 4, None
        self._of_made, self._of_real = of_made, of_real

    def generator(self, drawn: Tensor, classes: None) -> Tensor:
        return torch.full((len(drawn), 1, 28, 28), 3.0)

    def discriminator(self, images: Tensor, classes: None) -> Tensor:
        return self._of_made if images.max() > 2 else self._of_real


def test_the_losses_are_those_of_their_formulas(clothes: tuple[Tensor, Tensor]) -> None:
    made, real = torch.randn(2, 48, generator=torch.Generator().manual_seed(0))
    net = _Fixed(made, real)

    def of(**arguments: Any) -> tuple[Tensor, Tensor]:
        task = Generation(**arguments)
        return (
            task.generator_loss(net, clothes[0], None),
            task.discriminator_loss(net, clothes[0], None),
        )

    bce = functional.binary_cross_entropy_with_logits
    ones, zeros = torch.ones(48), torch.zeros(48)
    generator, discriminator = of(label_smoothing=0.1)
    torch.testing.assert_close(generator, bce(made, ones, reduction="none"))
    expected = bce(real, 0.9 * ones, reduction="none") + bce(made, zeros, reduction="none")
    torch.testing.assert_close(discriminator, expected)
    generator, discriminator = of(loss="hinge")
    torch.testing.assert_close(generator, -made)
    torch.testing.assert_close(discriminator, (1 - real).clamp(min=0) + (1 + made).clamp(min=0))


@pytest.mark.parametrize("conditional", [False, True])
def test_the_exported_predictor_makes_the_same_images_of_the_same_seeds(
    conditional: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    task = Generation(CLASSES, conditional=conditional)
    net = task.assemble(dcgan(1, 28, 10, width=8), None, None).eval()
    predictor = task.predictor(net)
    example = task.example(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    assert (example.shape, example.dtype) == ((2, 1 + conditional), torch.int64)
    torch.export.save(export(predictor, example), tmp_path / "model.pt2")
    run = torch.export.load(tmp_path / "model.pt2").module()
    columns = [torch.tensor([7, 8, 7, -9, 7]), torch.tensor([0, 0, 9, 3, 0])]
    rows = torch.stack(columns[: 1 + conditional], dim=1)
    images = run(rows)
    assert (images.shape, images.dtype) == ((5, 1, 28, 28), torch.uint8)
    with torch.no_grad():
        assert torch.equal(images, predictor(rows))
    assert torch.equal(images[0], images[4])
    assert len(images.unique(dim=0)) == (4 if conditional else 3)
    assert torch.equal(run(rows[3:4]), images[3:4])


def test_it_is_a_built_in_task_with_a_model_of_its_own() -> None:
    task = tasks.build("generation", {"conditional": True}, classes=CLASSES)
    assert isinstance(task, Generation)
    assert task.metrics == ()
    tasks.check_model("generation", "dcgan", {"width": 32})
    with pytest.raises(LookupError, match="dcgan is a model for generation, not for class"):
        tasks.check_model("classification", "dcgan", {})


IMAGES = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("inputs", "targets", "says"),
    [
        ([IMAGES[0], IMAGES[1]], [{}, {}], "boxes or masks"),
        (IMAGES.float(), None, r"float32 of shape \(3, 32, 32\); generation needs uint8"),
        (IMAGES[:, :2], torch.zeros(2), "1 or 3 channels"),
        (IMAGES, None, "needs a class for each image, and the data gives none"),
        (IMAGES, torch.zeros(2, 10), r"the data gives float32 of shape \(2, 10\)"),
    ],
)
def test_data_that_it_cannot_learn_from_is_a_mistake_of_one_line(
    inputs: Any, targets: Any, says: str
) -> None:
    task = Generation(CLASSES, conditional=True)
    task.check_samples(IMAGES, torch.zeros(2, dtype=torch.int64))
    Generation().check_samples(IMAGES, None)
    with pytest.raises(WrongTargets, match=says) as caught:
        tasks.check_samples(task, inputs, targets)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"conditional": True}, "needs classes, and the data names none"),
        ({"label_smoothing": 0.5}, "label_smoothing is 0.5; valid: 0 to below 0.5"),
        ({"loss": "wasserstein"}, "no loss 'wasserstein'; valid: cross_entropy, hinge"),
        ({"features": "nowhere.pt2"}, "there is no file nowhere.pt2; valid: a classifier's"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(WrongValue, match=says):
        Generation(**arguments)


def test_a_model_that_does_not_fit_the_task_or_the_images_is_refused() -> None:
    task = Generation(CLASSES, conditional=True)
    with pytest.raises(WrongValue, match="this has no generator"):
        task.assemble(nn.Linear(1, 1), None, None)
    with pytest.raises(WrongValue, match="the model knows no classes, and the task has 10"):
        task.assemble(dcgan(3, 32, width=4), None, None)
    with pytest.raises(WrongValue, match="the model knows 3 classes, and the task has 10"):
        task.assemble(dcgan(3, 32, 3, width=4), None, None)
    net = dcgan(3, 28, width=4)
    with pytest.raises(WrongValue, match="makes images of 3×28×28, and the data's are 3×32×32"):
        Generation().generator_loss(net, IMAGES, None)
    with pytest.raises(WrongValue, match="makes images of 3×28×28, and the data's are 3×32×32"):
        Generation().evaluation().update(net, IMAGES, None)
