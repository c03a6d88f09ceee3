from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from heliostat import spec as specs
from heliostat.data import Batch, TrainBatches, open_source
from heliostat.data.unpaired import Unpaired
from heliostat.spec import Source, TrainSpec
from heliostat.training.learners import Learner, build_learners, step
from heliostat.vision import tasks
from heliostat.vision.export import export
from heliostat.vision.mistakes import UnknownName, WrongTargets, WrongValue
from heliostat.vision.translation import Translation
from heliostat.vision.translation.models import CycleGan, cyclegan
from heliostat.vision.translation.pixels import as_bytes, signed

SIDE = 64


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def membranes(shared_data: Path, tmp_path: Path) -> Unpaired:
    """Three slices of electron microscopy, and the masks of their membranes."""
    slices = shared_data / "isbi-em-membrane" / "data" / "membrane" / "train"
    for domain, folder in (("A", "image"), ("B", "label")):
        (tmp_path / domain).mkdir()
        for number in range(3):
            whole = Image.open(slices / folder / f"{number}.png")
            whole.crop((0, 0, 2 * SIDE, 2 * SIDE)).reduce(2).save(
                tmp_path / domain / f"{number}.png"
            )
    return Unpaired(open_source(Source(uri=str(tmp_path))))


@pytest.fixture
def pairs(membranes: Unpaired) -> Tensor:
    inputs: Tensor = membranes.read(np.arange(3))[0]
    return inputs


def tiny(channels: int = 1) -> CycleGan:
    return cyclegan(channels, (SIDE, SIDE), width=4, blocks=1, layers=2, pool=4)


def learners(task: Translation, model: nn.Module, **settings: object) -> tuple[Learner, ...]:
    return build_learners(
        trained_by(**settings), task, model, torch.device("cpu"), total_steps=9, steps_per_epoch=3
    )


def trained_by(**settings: object) -> TrainSpec:
    spec = specs.parse(
        {
            "kind": "train",
            "name": "membranes",
            "task": "translation",
            "model": {"name": "cyclegan"},
            "data": {"train": {"uri": "membranes"}},
            "batch_size": 2,
            "optimizer": {"name": "adam", "lr": 2e-3, "betas": [0.5, 0.999]},
            "max_steps": 9,
            **settings,
        }
    )
    assert isinstance(spec, TrainSpec)
    return spec


def batches(samples: Unpaired, epochs: int) -> list[Batch]:
    read = TrainBatches(samples, batch_size=2, seed=0, rank=0, world_size=1)
    return [batch for epoch in range(epochs) for batch in read.epoch(epoch)]


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def moved(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name.split(".")[0] for name, old in before.items() if not torch.equal(old, after[name])}


def test_each_turn_moves_its_own_networks_only(membranes: Unpaired) -> None:
    task, model = Translation(("A", "B")), tiny()
    both = learners(task, model)
    assert [learner.turn.name for learner in both] == ["generators", "discriminators"]
    whole = {id(p) for learner in both for p in learner.parameters}
    assert whole == {id(p) for p in model.parameters()}
    batch = batches(membranes, 1)[0]
    states = [weights(model)]
    for learner in both:
        # As in a step, whose every turn is this one alone.
        before = [p for other in both if other is not learner for p in other.parameters]
        for parameter in before:
            parameter.requires_grad_(False)
        losses = learner.replica(batch.inputs, None)
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is None for parameter in before)
        learner.optimizer.step()
        learner.optimizer.zero_grad()
        for parameter in before:
            parameter.requires_grad_(True)
        states.append(weights(model))
    assert moved(states[0], states[1]) == {"a_to_b", "b_to_a"}
    assert moved(states[1], states[2]) == {"discriminate_a", "discriminate_b"}


@pytest.mark.parametrize("settings", [{}, {"accumulate": 2}, {"precision": "bf16"}])
def test_a_few_steps_bring_images_back_better(
    membranes: Unpaired, settings: dict[str, object]
) -> None:
    task, model = Translation(("A", "B")), tiny()
    both, spec = learners(task, model, **settings), trained_by(**settings)
    shares = [step(both, b, 1, torch.device("cpu"), spec) for b in batches(membranes, 6)]
    assert set(shares[0]) == {
        *("loss", "generators", "adversarial", "cycle", "identity"),
        *("discriminators", "discriminator_a", "discriminator_b"),
    }
    total = shares[0]["generators"] + shares[0]["discriminators"]
    assert float(shares[0]["loss"]) == pytest.approx(float(total))
    assert float(shares[-1]["cycle"]) < 0.7 * float(shares[0]["cycle"])
    assert len(model.pool_a.get_extra_state()) == 4


def test_a_losses_are_each_samples_own_so_that_halves_of_a_batch_have_its_mean(
    pairs: Tensor,
) -> None:
    task, model = Translation(("A", "B")), tiny()
    whole = task.loss(model, pairs, None)
    parts = [task.loss(model, part, None) for part in (pairs[:1], pairs[1:])]
    for name, values in whole.items():
        assert values.shape == (3,)
        joined = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(values, joined, rtol=1e-4, atol=1e-5)


def test_a_model_restored_from_its_state_takes_the_same_next_step(membranes: Unpaired) -> None:
    task, model = Translation(("A", "B")), tiny()
    first, *rest, last = batches(membranes, 3)
    both, spec = learners(task, model), trained_by()
    for batch in (first, *rest):
        step(both, batch, 1, torch.device("cpu"), spec)
    restored, again = tiny(), Translation(("A", "B"))
    restored.load_state_dict(model.state_dict())
    others = learners(again, restored)
    for ours, theirs in zip(both, others, strict=True):
        theirs.optimizer.load_state_dict(deepcopy(ours.optimizer.state_dict()))
        theirs.schedule.load_state_dict(ours.schedule.state_dict())
    for some in (both, others):
        torch.manual_seed(5)
        step(some, last, 1, torch.device("cpu"), spec)
    state = restored.state_dict()
    assert len(state["pool_a._extra_state"]) == 4
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_without_an_identity_loss_nothing_is_computed_for_it(pairs: Tensor) -> None:
    assert set(Translation(("A", "B"), identity=0).loss(tiny(), pairs, None)) == {
        "adversarial",
        "cycle",
    }


class Inverting(nn.Module):
    """A→B inverts, B→A gives what it got."""

    def a_to_b(self, images: Tensor) -> Tensor:
        return -images

    def b_to_a(self, images: Tensor) -> Tensor:
        return images


def test_the_metrics_are_what_they_say(pairs: Tensor) -> None:
    task = Translation(("A", "B"), paired=True)
    evaluation = task.evaluation()
    evaluation.update(Inverting(), pairs[:2], None)
    evaluation.update(Inverting(), pairs[2:], None)
    a, b = (pairs[:, domain].double() / 255 for domain in (0, 1))
    figures = evaluation.compute()
    assert tuple(figures) == task.metrics
    came_back = ((1 - 2 * a).abs().mean() + (1 - 2 * b).abs().mean()) / 2
    assert figures["cycle"] == pytest.approx(float(came_back))
    assert figures["identity"] == pytest.approx(float((1 - 2 * b).abs().mean() / 2))
    assert figures["l1"] == pytest.approx(float((1 - a - b).abs().mean()))
    found, wanted = 1 - a >= 0.5, b >= 0.5
    dice = 2 * (found & wanted).sum() / (found.sum() + wanted.sum())
    assert figures["dice"] == pytest.approx(float(dice))
    dark = Translation(("A", "B"), paired=True, foreground="dark").evaluation()
    dark.update(Inverting(), pairs, None)
    dice = 2 * (~found & ~wanted).sum() / ((~found).sum() + (~wanted).sum())
    assert dark.compute()["dice"] == pytest.approx(float(dice))
    assert evaluation.pictures()["samples"].width > 600


def test_sums_of_halves_are_those_of_the_whole_to_the_last_digit(pairs: Tensor) -> None:
    task, model = Translation(("A", "B"), paired=True, direction="b_to_a"), tiny().eval()
    parts = [pairs[:1], pairs[1:2], pairs[2:]]
    forwards, backwards, last = (task.evaluation() for _ in range(3))
    with torch.no_grad():
        for part in parts:
            forwards.update(model, part, None)
        for part in parts[1:][::-1]:
            backwards.update(model, part, None)
        last.update(model, parts[0], None)
    for name, value in last.state().items():
        value += backwards.state()[name]
    assert last.compute() == forwards.compute()


@pytest.mark.parametrize("direction", ["a_to_b", "b_to_a"])
def test_the_registered_model_translates_bytes_in_its_direction(
    pairs: Tensor, direction: str
) -> None:
    task = tasks.build("translation", {"direction": direction}, classes=("A", "B"))
    assert isinstance(task, Translation)
    model = tiny()
    example = task.example(pairs)
    assert torch.equal(example, pairs[:, 0 if direction == "a_to_b" else 1])
    predictor = task.predictor(model)
    stored = io.BytesIO()
    torch.export.save(export(predictor, example[:2]), stored)
    stored.seek(0)
    program = torch.export.load(stored).module()
    with torch.no_grad():
        made = program(example)
        wanted = as_bytes(getattr(model, direction)(signed(example)))
    assert made.dtype == torch.uint8
    assert (made.int() - wanted.int()).abs().max() <= 1


def test_bytes_come_back_from_minus_one_to_one_as_they_were() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(as_bytes(signed(values)), values)
    assert torch.equal(signed(values), signed(values.float() / 255))


WRONG: list[tuple[object, str]] = [
    ([torch.zeros(1, 8, 8)], "boxes or masks"),
    (torch.zeros(2, 1, 64, 64, dtype=torch.uint8), "either of two domains"),
    (torch.zeros(2, 2, 1, 30, 32, dtype=torch.uint8), "30x32.* that 4 divides"),
    (torch.zeros(2, 2, 1, 4, 4, dtype=torch.uint8), "8 pixels or more"),
    (torch.zeros(2, 2, 1, 64, 64), "float32; translation needs uint8"),
]


@pytest.mark.parametrize(("inputs", "message"), WRONG)
def test_what_is_not_two_domains_is_a_mistake_of_one_line(inputs: object, message: str) -> None:
    with pytest.raises(WrongTargets, match=message) as caught:
        tasks.check_samples(Translation(("A", "B")), inputs, None)
    assert "\n" not in str(caught.value)


def test_arguments_that_cannot_be_are_mistakes() -> None:
    with pytest.raises(WrongTargets, match="two domains, and the data has 3"):
        Translation(("A", "B", "C"))
    for args, message in (
        ({"direction": "b"}, "valid: a_to_b, b_to_a"),
        ({"foreground": "red"}, "valid: bright, dark"),
        ({"cycle": -1.0}, "not below 0"),
    ):
        with pytest.raises(WrongValue, match=message):
            tasks.build("translation", args, classes=("A", "B"))
    with pytest.raises(WrongValue, match="discriminate_a, discriminate_b, pool_a, pool_b too"):
        tasks.assemble(Translation(("A", "B")), nn.Module(), None, None)
    with pytest.raises(UnknownName, match="a model for translation, not for classification"):
        tasks.check_model("classification", "cyclegan", {})
