from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from heliostat.vision import models
from heliostat.vision.mistakes import Mistake, WrongValue

OWN = (
    "cnn_small",
    "cnn_32",
    "cnn_64",
    "resnet9",
    "resnet18_cifar",
    "resnet34_cifar",
    "resnet50_cifar",
)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(("size", "channels"), [(8, 1), (28, 1), (32, 3)])
def test_own_models_take_what_the_data_has(name: str, size: int, channels: int) -> None:
    net = models.build(name, {}, num_classes=7, in_channels=channels, size=(size, size))
    assert net(torch.rand(2, channels, size, size)).shape == (2, 7)


def test_the_tutorials_networks_are_theirs() -> None:
    large = models.build("cnn_64", {}, num_classes=10, in_channels=3, size=(64, 64))
    small = models.build("cnn_32", {}, num_classes=10, in_channels=3, size=(32, 32))
    layers = nn.Conv2d, nn.Linear
    shapes = [
        [tuple(part.weight.shape) for part in net if isinstance(part, layers)]
        for net in (large, small)
    ]
    assert shapes == [
        [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64 * 16 * 16), (10, 128)],
        [(16, 3, 3, 3), (10, 16 * 16 * 16)],
    ]


@pytest.mark.parametrize("name", ["cnn_32", "cnn_64"])
def test_the_tutorials_networks_take_any_shape_of_image(name: str) -> None:
    known = models.build(name, {}, num_classes=3, in_channels=1, size=(13, 30))
    found_out = models.build(name, {}, num_classes=3, in_channels=1)  # lazily, by the images
    for net in (known, found_out):
        assert net(torch.rand(2, 1, 13, 30)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("cnn_64", (3, 9), "a quarter of their size, and 3×9 is too small for that: at least 4×4"),
        ("cnn_32", (8, 1), "a half of their size, and 8×1 is too small for that: at least 2×2"),
        ("cnn_32", 32, r"size is 32; it is \[height, width\] in pixels"),
    ],
)
def test_images_too_small_for_a_tutorial_s_network_are_a_mistake(
    name: str, size: Any, message: str
) -> None:
    with pytest.raises(WrongValue, match=f"model {name}: .*{message}"):
        models.build(name, {"size": size}, num_classes=3, in_channels=1)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_a_cifar_resnet_is_torchvision_s_but_for_its_stem(depth: int) -> None:
    with torch.device("meta"):
        ours = models.build(f"resnet{depth}_cifar", {}, num_classes=10, in_channels=3)
        theirs = models.build(f"resnet{depth}", {}, num_classes=10, in_channels=3)
    shapes, others = (
        {key: tuple(value.shape) for key, value in net.state_dict().items()}
        for net in (ours, theirs)
    )
    assert shapes.pop("conv1.weight") == (64, 3, 3, 3)
    assert others.pop("conv1.weight") == (64, 3, 7, 7)
    assert shapes == others


def test_a_cifar_resnet_keeps_the_pixels_of_small_images_to_its_first_block() -> None:
    net = models.build("resnet18_cifar", {}, num_classes=10, in_channels=1)
    seen = []
    net.layer1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    net(torch.rand(2, 1, 32, 32))
    assert seen == [(2, 64, 32, 32)]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_torchvision_name_is_built_for_the_data(channels: int) -> None:
    net = models.build("resnet18", {}, num_classes=7, in_channels=channels)
    assert net(torch.rand(2, channels, 32, 32)).shape == (2, 7)


def test_a_grey_image_is_to_a_torchvision_model_what_it_is_in_three_channels() -> None:
    net = models.build("squeezenet1_1", {}, num_classes=3, in_channels=1).eval()
    grey = torch.rand(2, 1, 48, 48)
    torch.testing.assert_close(net(grey), net.net(grey.repeat(1, 3, 1, 1)))


def test_models_with_auxiliary_heads_give_logits_while_they_train() -> None:
    net = models.build("googlenet", {}, num_classes=4, in_channels=3).train()
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 4)


def test_a_vision_transformer_takes_the_size_of_its_images() -> None:
    net = models.build("vit_b_32", {"image_size": 32}, num_classes=4, in_channels=3)
    assert net(torch.rand(1, 3, 32, 32)).shape == (1, 4)


def test_a_vision_transformer_is_made_for_the_data_s_size_where_no_argument_says_one() -> None:
    net = models.build("vit_b_16", {}, num_classes=4, in_channels=1, size=(32, 32))
    assert net(torch.rand(2, 1, 32, 32)).shape == (2, 4)
    with torch.device("meta"):
        given = models.build("vit_b_16", {"image_size": 64}, in_channels=3, size=(32, 32))
        unknown = models.build("vit_b_16", {}, in_channels=3)
    assert (given.image_size, unknown.image_size) == (64, 224)


@pytest.mark.parametrize(
    ("name", "size", "line"),
    [
        ("vit_b_16", (32, 48), "it takes square images, not 32x48; set data.image_size"),
        ("vit_b_16", (40, 40), "for images of 40x40 .*indivisible by patch size.; set data.image"),
        ("maxvit_t", (224, 96), "for images of 224x96 .*not divisible by partition size 7"),
    ],
)
def test_a_size_that_a_torchvision_model_cannot_have_is_a_mistake_of_one_line(
    name: str, size: tuple[int, int], line: str
) -> None:
    with pytest.raises(WrongValue, match=f"^model {name}: .*{line}") as caught:
        models.build(name, {}, num_classes=4, in_channels=3, size=size)
    assert "\n" not in str(caught.value)


def test_an_argument_for_which_torchvision_s_builder_has_a_default_may_be_left_out() -> None:
    with torch.device("meta"):
        net = models.build("efficientnet_b0", {}, num_classes=4, in_channels=3)
    assert net.classifier[0].p == 0.2


def test_the_names_are_own_ones_and_torchvisions_classifiers_only() -> None:
    names = models.names()
    assert names[: len(OWN)] == OWN
    assert {"resnet18", "vgg11", "vit_b_16"} <= set(names)
    assert "fcn_resnet50" not in names
    assert len(names) == len(set(names))


def test_every_torchvision_classifier_says_that_it_takes_num_classes() -> None:
    for name in models.names():
        with pytest.raises(TypeError, match="it takes .*num_classes"):
            models.build(name, {"num_clases": 3})


def test_an_unknown_name_names_the_nearest_ones() -> None:
    with pytest.raises(
        LookupError, match=r"no model 'resnt18'; nearest: resnet18.*package\.module"
    ):
        models.build("resnt18", {})


def test_an_argument_that_the_model_does_not_take_is_named_with_those_it_takes() -> None:
    with pytest.raises(TypeError) as caught:
        models.build("resnet9", {"num_clases": 10}, num_classes=10, in_channels=1)
    assert str(caught.value) == (
        "model resnet9 takes no argument 'num_clases'; it takes num_classes, in_channels, width"
    )


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("resnet9", {"width": -1}),
        ("resnet9", {"width": "wide"}),
        ("cnn_small", {"num_classes": 0}),
        ("resnet18", {"groups": 2}),
        ("vit_b_32", {"image_size": 33}),
        ("swin_t", {"stochastic_depth_prob": 0.5}),
    ],
)
def test_a_value_that_makes_no_model_is_a_mistake_of_one_line(name: str, args: dict) -> None:
    with pytest.raises(ValueError, match=f"model {name}: ") as caught:
        models.build(name, args, num_classes=10, in_channels=3)
    assert isinstance(caught.value, Mistake)
    assert "\n" not in str(caught.value)


def test_a_torchvision_model_refuses_four_channels() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        models.build("resnet18", {}, num_classes=10, in_channels=4)


def test_what_the_spec_gives_is_kept_where_the_data_has_fewer_classes() -> None:
    net = models.build("cnn_small", {"num_classes": 12}, num_classes=10, in_channels=1)
    assert net(torch.rand(1, 1, 8, 8)).shape == (1, 12)


def test_own_models_do_not_import_torchvision_nor_matplotlib_nor_another_room() -> None:
    code = (
        "import sys; from heliostat.vision import models, tasks, export;"
        "models.build('cnn_small', {}, num_classes=2, in_channels=1);"
        "tasks.build('classification', {}, classes=('a', 'b'));"
        "slow = {'torchvision', 'matplotlib', 'ray', 'mlflow', 'sklearn'};"
        "rooms = {m for m in sys.modules if m.startswith('heliostat.')};"
        "print(slow & set(sys.modules), {m for m in rooms if 'vision' not in m})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "set() set()"
