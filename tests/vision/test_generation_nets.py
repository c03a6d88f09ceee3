"""The generator and the discriminator of a DCGAN."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from heliostat.vision import models
from heliostat.vision.generation import CATALOGUE
from heliostat.vision.generation.nets import dcgan
from heliostat.vision.mistakes import WrongValue


@pytest.mark.parametrize("size", [(16, 16), (28, 28), (32, 32), (36, 36), (64, 48), (128, 128)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_makes_and_judges_images_of_the_data_s_size(
    channels: int, size: tuple[int, int]
) -> None:
    net = dcgan(channels, size, width=4, latent=10)
    images = net.generator(torch.randn(2, 10))
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1
    assert net.discriminator(images).shape == (2,)


def test_the_network_for_64_pixels_is_the_paper_s() -> None:
    net = dcgan(3, 64)
    generator, discriminator = (
        [tuple(p.shape) for p in part.parameters() if p.ndim == 4]
        for part in (net.generator, net.discriminator)
    )
    assert net.generator.start == (512, 4, 4)
    assert generator == [(512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    assert discriminator == [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4)]
    for module in net.modules():
        if isinstance(module, nn.ConvTranspose2d | nn.Conv2d):
            assert float(module.weight.detach().std()) == pytest.approx(0.02, rel=0.05)


def test_a_class_changes_what_is_made_and_how_it_is_judged() -> None:
    torch.manual_seed(0)
    net = dcgan(1, 28, num_classes=3, width=8).eval()
    drawn, classes = torch.randn(1, 100).expand(3, 100), torch.arange(3)
    with torch.no_grad():
        images = net.generator(drawn, classes)
        judged = net.discriminator(images[:1].expand(3, -1, -1, -1), classes)
    assert len(images.unique(dim=0)) == 3
    assert len(judged.unique()) == 3
    with pytest.raises(ValueError, match="needs a class for each image"):
        net.generator(drawn)


def test_without_classes_it_has_no_parameters_of_classes() -> None:
    net = dcgan(1, 28, num_classes=3, width=8)
    net.forget_classes()
    names = dcgan(1, 28, width=8).state_dict().keys()
    assert net.state_dict().keys() == names
    assert net.classes is None
    assert net.generator(torch.randn(2, 100)).shape == (2, 1, 28, 28)


def test_the_whole_model_judges_raw_images_and_refuses_another_size() -> None:
    net = dcgan(1, 28, num_classes=3, width=8).eval()
    raw = torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(net(raw), net.discriminator(raw.float() / 127.5 - 1))
    with pytest.raises(ValueError, match="it makes images of 1×28×28"):
        net(raw[..., :24])


@pytest.mark.parametrize("size", [(30, 30), (28, 14), (12, 12), (8, 8)])
def test_a_size_that_strides_cannot_make_is_a_mistake_of_one_line(size: tuple[int, int]) -> None:
    with pytest.raises(WrongValue, match=f"{size[0]}×{size[1]}: both sides must be multiples of 4"):
        models.build("dcgan", {}, in_channels=1, size=size, catalogue=CATALOGUE)
    with pytest.raises(WrongValue, match="must be at least 1"):
        models.build("dcgan", {"width": 0}, in_channels=1, size=(28, 28), catalogue=CATALOGUE)
