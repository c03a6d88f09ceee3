"""The networks by name, as a task uses them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models as torchvision_models

from heliostat.vision import models
from heliostat.vision.export import export
from heliostat.vision.mistakes import UnknownName, WrongArguments, WrongValue
from heliostat.vision.segmentation import CATALOGUE, Segmentation

TASK = Segmentation(["a", "b", "c"])


def built(name: str, channels: int = 3, **args: Any) -> nn.Module:
    torch.manual_seed(0)
    return models.build(name, args, num_classes=3, in_channels=channels, catalogue=CATALOGUE)


def assembled(name: str, channels: int = 3, **args: Any) -> nn.Module:
    net = built(name, channels, **args)
    return TASK.assemble(net, (0.4,) * channels, (0.2,) * channels)


def pixels(count: int, channels: int, *size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, *size), dtype=torch.uint8, generator=generator)


def test_the_names_are_heliostat_s_and_torchvision_s() -> None:
    assert CATALOGUE.names() == (
        "unet", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet101", "deeplabv3_resnet50",
        "fcn_resnet101", "fcn_resnet50", "lraspp_mobilenet_v3_large",
    )  # fmt: skip
    with pytest.raises(UnknownName, match="no model 'unett'.*unet.*segmentation model"):
        built("unett")


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (37, 50)])
@pytest.mark.parametrize("upsampling", ["transposed", "bilinear"])
def test_unet_takes_images_of_any_size(size: tuple[int, int], upsampling: str) -> None:
    model = assembled("unet", 1, base=4, depth=4, upsampling=upsampling)
    for part in (model.train(), model.eval()):
        logits = part(pixels(1, 1, *size)).main
        assert logits.shape == (1, 3, *size)
        assert logits.isfinite().all()


def test_unet_doubles_its_channels_as_the_paper_s_does() -> None:
    net = built("unet", 1, base=64)
    # The paper's 31.0 million (with biases for convolutions that are followed by BatchNorm here).
    assert sum(p.numel() for p in net.parameters()) == pytest.approx(31.0e6, rel=0.01)
    assert net.get_submodule("bottom")[3].weight.shape == (1024, 1024, 3, 3)


@pytest.mark.parametrize(
    ("name", "args", "mistake", "line"),
    [
        ("unet", {"base": 0}, WrongValue, "must be at least 1"),
        ("unet", {"upsampling": "nearest"}, WrongValue, "transposed or bilinear, not 'nearest'"),
        ("unet", {"width": 3}, WrongArguments, "takes no argument 'width'"),
        ("lraspp_mobilenet_v3_large", {"aux_loss": True}, WrongArguments, "no argument 'aux_loss'"),
        ("fcn_resnet50", {"weights": "DEFAULT"}, WrongArguments, "no argument 'weights'"),
    ],
)
def test_arguments_that_a_model_does_not_take_are_refused(
    name: str, args: dict[str, Any], mistake: type[Exception], line: str
) -> None:
    with pytest.raises(mistake, match=line):
        built(name, **args)


def test_five_channels_are_nothing_for_torchvision_s_models() -> None:
    with pytest.raises(WrongValue, match="1 or 3 channels, not 5"):
        built("lraspp_mobilenet_v3_large", channels=5)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("lraspp_mobilenet_v3_large", {}),
        ("deeplabv3_mobilenet_v3_large", {"aux_loss": True}),
        ("deeplabv3_resnet50", {}),
        ("fcn_resnet50", {"aux_loss": True}),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvision_s_names_stay_in_the_state_dict(
    name: str, args: dict[str, Any], channels: int
) -> None:
    own = getattr(torchvision_models.segmentation, name)(
        weights=None, weights_backbone=None, num_classes=3, **args
    )
    model = assembled(name, channels, **args)
    ours = {k.removeprefix("net.") for k in model.state_dict() if not k.startswith("normalize.")}
    assert ours == set(own.state_dict())
    model.get_submodule("net").load_state_dict(own.state_dict())
    images = pixels(1, channels, 32, 48)
    own.eval()
    with torch.no_grad():
        logits = model.eval()(images)
        expected = own(((images.float() / 255 - 0.4) / 0.2).expand(-1, 3, -1, -1))
    torch.testing.assert_close(logits.main, expected["out"])
    assert (logits.aux is not None) == ("aux" in expected)


@pytest.mark.parametrize("name", ["deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "unet"])
def test_a_batch_of_one_image_can_be_trained_on(name: str) -> None:
    model = assembled(name, 1).train()
    losses = TASK.loss(model, pixels(1, 1, 32, 32), torch.ones(1, 32, 32, dtype=torch.uint8))
    losses.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "channels", "args"),
    [
        ("unet", 1, {"base": 4}),
        ("lraspp_mobilenet_v3_large", 3, {}),
        ("deeplabv3_resnet50", 1, {"aux_loss": True}),
    ],
)
def test_a_saved_program_gives_the_very_maps_of_the_model(
    name: str, channels: int, args: dict[str, Any]
) -> None:
    model = assembled(name, channels, **args)
    images = pixels(7, channels, 36, 44)
    predictor = TASK.predictor(model).eval()
    stored = io.BytesIO()
    torch.export.save(export(predictor, TASK.example(list(images[:2]))), stored)
    stored.seek(0)
    program = torch.export.load(stored).module()
    with torch.no_grad():
        for count in (1, 2, 7):
            ours, its = predictor(images[:count]), program(images[:count])
            assert (its.dtype, its.shape) == (torch.uint8, (count, 36, 44))
            assert (its == ours).float().mean() > 0.999
