from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from heliostat.data import Samples, TrainBatches, check_augment, evaluation_batches, open_source
from heliostat.data.contact_sheet import sheet_of_samples
from heliostat.data.unpaired import Unpaired
from heliostat.spec.augmentations import Augment, HorizontalFlip, RandomCrop, RandomResizedCrop
from heliostat.spec.problems import InputError
from heliostat.spec.sources import Source
from heliostat.spec.transforms import Transform

Domains = Callable[..., Unpaired]


@pytest.fixture
def domains(png: Callable[[int], bytes], tmp_path: Path) -> Domains:
    """Return a function that makes domains of the digits (8×8 pixels) with these numbers."""

    def made(a: Sequence[int], b: Sequence[int]) -> Unpaired:
        for name, numbers in (("A", a), ("B", b)):
            (tmp_path / name).mkdir()
            for place, number in enumerate(numbers):
                (tmp_path / name / f"{place:03}.png").write_bytes(png(number))
        return Unpaired(open_source(Source(uri=str(tmp_path))))

    return made


def pixels(digits: Samples, numbers: Sequence[int]) -> Tensor:
    images: Tensor = digits.read(np.array(numbers))[0]
    return images


def test_in_evaluation_the_domains_stand_side_by_side_and_the_smaller_begins_again(
    domains: Domains, digits: Samples
) -> None:
    samples = domains(range(5), range(10, 13))
    assert (len(samples), samples.shape, samples.labels) == (5, (1, 8, 8), None)
    batches = list(evaluation_batches(samples, batch_size=2, rank=0, world_size=1))
    inputs = torch.cat([batch.inputs for batch in batches])
    assert torch.equal(inputs[:, 0], pixels(digits, range(5)))
    assert torch.equal(inputs[:, 1], pixels(digits, [10, 11, 12, 10, 11]))
    assert {batch.targets for batch in batches} == {None}
    assert samples.source(3).endswith("000.png")
    assert samples.size(3) == (8, 8)
    each = samples.read_each(np.arange(5))
    assert torch.equal(torch.stack([one for one in each if isinstance(one, Tensor)]), inputs)


def test_in_training_each_round_of_the_smaller_domain_is_a_permutation_of_its_own(
    domains: Domains,
) -> None:
    samples = domains(range(20), range(20, 28))
    orders = [samples.rows(np.arange(20), key)[1::2] for key in ((0, 0), (0, 1), (1, 0), (0, 0))]
    for order in orders:
        assert sorted(order[:8]) == sorted(order[8:16]) == list(range(20, 28))
        assert order[:8].tolist() != order[8:16].tolist()
    assert orders[0].tolist() == orders[3].tolist()
    assert len({tuple(order) for order in orders}) == 3
    # Also seed 0's first epoch has no pairs, which evaluation has.
    assert orders[0].tolist() != samples.rows(np.arange(20))[1::2].tolist()


AUGMENT: tuple[tuple[Augment, ...], ...] = (
    (),
    (RandomCrop(padding=1, size=(6, 6)), HorizontalFlip()),
    (RandomResizedCrop(size=(4, 4)), Transform(name="RandomVerticalFlip")),
)


@pytest.mark.parametrize("augment", AUGMENT)
def test_a_batch_is_the_same_at_any_number_of_ranks(
    domains: Domains, augment: tuple[Augment, ...]
) -> None:
    samples = domains(range(7), range(20, 29))
    check_augment(augment, samples)

    def epoch(world_size: int) -> Tensor:
        ranks = [
            TrainBatches(
                samples, batch_size=4, seed=3, rank=rank, world_size=world_size, augment=augment
            )
            for rank in range(world_size)
        ]
        steps = zip(*(rank.epoch(2) for rank in ranks), strict=True)
        return torch.cat([part.inputs for step in steps for part in step if part.weight])

    one = epoch(1)
    assert one.shape[:3] == (9, 2, 1)
    assert torch.equal(one, epoch(2))
    assert torch.equal(one, epoch(3))


def test_both_images_of_a_sample_and_each_time_one_is_seen_are_cropped_otherwise(
    domains: Domains,
) -> None:
    samples = domains([3], [3] * 12)
    crop = RandomCrop(padding=4, size=(8, 8))
    batches = TrainBatches(
        samples, batch_size=12, seed=0, rank=0, world_size=1, augment=(crop, HorizontalFlip())
    )
    inputs = next(batches.epoch(0)).inputs
    assert len(torch.unique(inputs.flatten(0, 1), dim=0)) > 16


def test_what_is_not_two_domains_says_so(domains: Domains, digits: Samples) -> None:
    with pytest.raises(InputError, match="two domains, and this data has 10 classes"):
        Unpaired(digits)
    samples = domains([1], [2, 3])
    one = open_source(Source(uri=samples.uri, split="all[:1]"))
    with pytest.raises(InputError, match="no image is of the domain"):
        Unpaired(one)


def test_a_contact_sheet_shows_the_images_of_both(domains: Domains) -> None:
    samples = domains([1], [2] * 8)
    sheet, of_images = (sheet_of_samples(each, "train") for each in (samples, samples.images))
    assert sheet is not None
    assert sheet == of_images


def test_a_crop_larger_than_the_images_is_refused(domains: Domains) -> None:
    with pytest.raises(InputError, match="larger than the padded image"):
        check_augment((RandomCrop(size=(16, 16)),), domains([1], [2]))
