from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heliostat.data import TrainBatches, check_augment, evaluation_batches, open_source
from heliostat.spec.augmentations import HorizontalFlip
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source

MODULE = """
import random
import numpy as np
import torch

class Noise(torch.utils.data.Dataset):
    classes = ["low", "high"]
    def __init__(self, size, fails=False):
        self.targets = [i % 2 for i in range(size)]
        self.fails = fails
        if size > 1000:
            raise MemoryError("the user's own words")
    def __len__(self):
        return len(self.targets)
    def __getitem__(self, i):
        if self.fails and i == 3:
            raise KeyError("item three")
        drawn = torch.rand(1, 4, 4) + random.random() + np.random.rand()
        return drawn, self.targets[i]

class Words(Noise):
    def __getitem__(self, i):
        return {"words": torch.tensor([i])}, self.targets[i]

class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module of the user's own that can be imported."""
    (tmp_path / "own_noise.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("import a_package_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_noise"


def noise(module: str, name: str = "Noise", split: str | None = None, **args: Any) -> Source:
    return Source(dataset=f"{module}:{name}", args=args, split=split)


def test_a_users_items_come_in_our_order_with_draws_that_are_a_function_of_the_sample(
    module: str,
) -> None:
    def epoch_of(world_size: int, epoch: int) -> dict[int, torch.Tensor]:
        samples = open_source(noise(module, size=50))
        ranks = [
            TrainBatches(samples, batch_size=20, seed=1, rank=rank, world_size=world_size)
            for rank in range(world_size)
        ]
        return {
            index: image
            for rank in ranks
            for batch in rank.epoch(epoch)
            for index, image in zip(batch.index.tolist(), batch.inputs, strict=True)
        }

    alone, together, next_epoch = epoch_of(1, 0), epoch_of(3, 0), epoch_of(1, 1)
    assert sorted(alone) == list(range(50))
    assert all(torch.equal(alone[i], together[i]) for i in alone)
    assert not any(torch.equal(alone[i], next_epoch[i]) for i in alone)


def test_a_users_draws_leave_the_training_steps_own_as_they_were(module: str) -> None:
    def draws() -> list[float]:
        return [torch.rand(()).item(), random.random(), float(np.random.rand())]

    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    expected = draws()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    open_source(noise(module, size=5)).read(np.arange(5))
    assert draws() == expected


def test_labels_classes_slices_and_fingerprint_of_a_users_dataset(module: str) -> None:
    whole = open_source(noise(module, size=50))
    part = open_source(noise(module, size=50, split="all[:10]"))
    assert whole.classes == ("low", "high")
    assert whole.labels is not None
    assert part.labels is not None
    assert whole.labels.tolist() == [i % 2 for i in range(50)]
    items = [int(part.source(i).removeprefix("own_noise:Noise#")) for i in range(10)]
    assert part.labels.tolist() == [i % 2 for i in items]
    assert whole.fingerprint == open_source(noise(module, size=50)).fingerprint
    assert whole.fingerprint not in (
        part.fingerprint,
        open_source(noise(module, size=50, fails=True)).fingerprint,
    )


def test_what_users_code_raises_comes_as_it_is(module: str) -> None:
    with pytest.raises(ModuleNotFoundError, match="a_package_nobody_has"):
        open_source(noise("own_broken", "Any"))
    with pytest.raises(MemoryError, match="the user's own words"):
        open_source(noise(module, size=5000))
    failing = open_source(noise(module, size=10, fails=True))
    with pytest.raises(KeyError, match="item three"):
        list(evaluation_batches(failing, batch_size=4, rank=0, world_size=1))
    results = failing.read_each(np.arange(5))
    assert [isinstance(r, KeyError) for r in results] == [False, False, False, True, False]


def test_a_mistake_about_a_users_dataset_is_one_line(module: str) -> None:
    wrong = [
        (noise(module, "Noice", size=1), "dataset: module 'own_noise' has no 'Noice'"),
        (noise(module, sise=1), r"args: own_noise:Noise: missing .*'size'; size, fails"),
        (noise(module, "Stream"), "dataset: own_noise:Stream is not a map-style dataset"),
        (noise(module, size=0), "dataset: own_noise:Noise is empty"),
        (noise(module, split="test", size=1), "split: no split 'test' here"),
    ]
    for source, message in wrong:
        with pytest.raises(InputError, match=f"^{message}"):
            open_source(source)
    with pytest.raises(InputError, match="^dataset: data.image_size does not apply"):
        open_source(noise(module, size=1), image_size=(4, 4))


def test_augmentation_of_what_is_not_an_image_is_refused(module: str) -> None:
    words = open_source(noise(module, "Words", size=4))
    assert words.read(np.arange(2))[0]["words"].tolist() == [[0], [1]]
    with pytest.raises(InputError, match="^augment: augmentation needs images"):
        check_augment((HorizontalFlip(),), words)
