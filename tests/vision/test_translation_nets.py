from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from heliostat.vision import models
from heliostat.vision.mistakes import WrongArguments, WrongValue
from heliostat.vision.translation import CATALOGUE
from heliostat.vision.translation.models import CycleGan, cyclegan
from heliostat.vision.translation.nets import PatchDiscriminator, patch
from heliostat.vision.translation.pool import ImagePool


def numbered(*numbers: int) -> Tensor:
    """Images, each of one value that names it."""
    return torch.tensor(numbers, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2) / 256


def test_a_pool_keeps_what_comes_until_it_is_full_and_then_gives_half_of_it_back() -> None:
    torch.manual_seed(0)
    pool = ImagePool(50)
    for first in range(0, 48, 4):
        images = numbered(*range(first, first + 4))
        assert torch.equal(pool(images), images)
    images = numbered(48, 49, 50, 51)
    assert torch.equal(pool(images), images)
    assert torch.equal(pool.get_extra_state().float(), numbered(*range(50)))
    earlier, kept = 0, set(range(50))
    for first in range(60, 160, 4):
        given = {
            round(float(image.mean()) * 256) for image in pool(numbered(*range(first, first + 4)))
        }
        new = set(range(first, first + 4))
        assert given - new <= kept
        earlier += len(given - new)
        # What goes out came from the pool, and what isn't given stays in it: none is lost.
        kept = (kept | new) - given
        assert {round(float(image.mean()) * 256) for image in pool.get_extra_state()} == kept
    assert 35 <= earlier <= 65


def test_a_batch_larger_than_the_pool_and_a_pool_of_nothing_give_as_many_images() -> None:
    images = numbered(*range(17))
    assert len(ImagePool(5)(images)) == 17
    assert torch.equal(ImagePool(0)(images), images)


def test_a_restored_pool_goes_on_as_the_one_before() -> None:
    pool, other = ImagePool(4), ImagePool(4)
    pool(numbered(1, 2, 3, 4, 5, 6))
    other.load_state_dict(pool.state_dict())
    given = []
    for one in (pool, other):
        torch.manual_seed(1)
        given.append(one(numbered(7, 8, 9)))
    assert torch.equal(*given)
    assert torch.equal(pool.get_extra_state(), other.get_extra_state())


def test_images_of_another_shape_begin_a_new_pool() -> None:
    pool = ImagePool(4)
    pool(numbered(1, 2))
    assert pool(torch.ones(1, 3, 4, 4)).shape == (1, 3, 4, 4)
    assert pool.get_extra_state().shape == (1, 3, 4, 4)


def test_the_networks_are_the_papers() -> None:
    model = cyclegan(3, size=(256, 256))
    generator, discriminator = model.a_to_b, model.discriminate_a
    # The reference's counts (11.378 M and 2.765 M) less the biases that instance norm takes away.
    assert sum(p.numel() for p in generator.parameters()) == 11_378_179 - 5_248
    assert sum(p.numel() for p in discriminator.parameters()) == 2_764_737 - 896
    assert [patch(layers) for layers in (1, 2, 3)] == [16, 34, 70]
    weights = [m.weight for m in generator.modules() if isinstance(m, nn.Conv2d)]
    spread = torch.cat([weight.detach().flatten() for weight in weights]).std()
    assert float(spread) == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize(("side", "layers"), [(8, 1), (32, 1), (64, 2), (128, 3)])
def test_a_discriminator_has_fewer_layers_for_small_images(side: int, layers: int) -> None:
    model = models.build(
        "cyclegan", {"width": 2}, in_channels=1, size=(side, side), catalogue=CATALOGUE
    )
    assert isinstance(model, CycleGan)
    convolutions = [m for m in model.discriminate_a.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == layers + 2
    pairs = torch.zeros(2, 2, 1, side, side, dtype=torch.uint8)
    assert model(pairs).shape == pairs.shape
    assert model.discriminate_a(torch.zeros(1, 1, side, side)).ndim == 4


def test_what_makes_no_model_is_a_mistake_of_one_line() -> None:
    with pytest.raises(WrongValue, match="at least 1"):
        models.build("cyclegan", {"layers": 0}, in_channels=1, catalogue=CATALOGUE)
    with pytest.raises(WrongArguments, match="it takes in_channels, size, width, blocks, layers"):
        models.check("cyclegan", {"depth": 3}, CATALOGUE)
    with pytest.raises(WrongValue, match="images of 24 pixels a side or more, not 16x16"):
        PatchDiscriminator(1, 4, 3)(torch.zeros(1, 1, 16, 16))
