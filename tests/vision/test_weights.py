"""Weights from elsewhere: what fits is taken, heads for other classes said, the rest refused."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from heliostat.vision import models
from heliostat.vision.mistakes import UnknownName, WrongValue
from heliostat.vision.normalize import pipeline
from heliostat.vision.weights import fit, torchvision_weights

Weights = dict[str, Tensor]


def whole(name: str, classes: int, channels: int = 3) -> nn.Module:
    """heliostat's model: normalize and net."""
    net = models.build(name, {}, num_classes=classes, in_channels=channels)
    return pipeline(net, (0.5,) * channels, (0.25,) * channels)


def bare(name: str, classes: int) -> Weights:
    """A network's own weights, as a file from elsewhere has them."""
    return models.build(name, {}, num_classes=classes, in_channels=3).state_dict()


def test_weights_for_other_classes_are_taken_but_for_the_head() -> None:
    weights, model = bare("resnet18", 1000), whole("resnet18", 7)
    fresh = model.net.fc.weight.clone()
    report = fit(model, weights)
    assert (report.loaded, report.heads) == (120, ("fc (1000 → 7)",))
    assert str(report) == (
        "120 tensors loaded; not those of the head, which starts anew: fc (1000 → 7)"
    )
    taken = model.net.state_dict()
    assert torch.equal(taken.pop("fc.weight"), fresh)
    assert taken.pop("fc.bias").shape == (7,)
    assert all(torch.equal(value, weights[key]) for key, value in taken.items())


@pytest.mark.parametrize("name", ["squeezenet1_1", "swin_t", "densenet121", "mobilenet_v3_small"])
def test_the_head_is_found_whatever_it_is(name: str) -> None:
    with torch.device("meta"):
        weights, model = bare(name, 1000), models.build(name, {"num_classes": 5})
    report = fit(model, weights)
    (head,) = report.heads
    assert head.endswith(" (1000 → 5)")


@pytest.mark.parametrize("prefix", ["", "net.", "module."])
def test_keys_of_a_bare_network_of_ddp_and_of_heliostat_are_all_understood(prefix: str) -> None:
    weights = {prefix + key: value for key, value in bare("cnn_small", 4).items()}
    model = whole("cnn_small", 4)
    report = fit(model, weights)
    assert report.heads == ()
    for key, value in weights.items():
        assert torch.equal(model.state_dict()["net." + key.removeprefix(prefix)], value)


def test_heliostat_s_own_weights_bring_their_normalisation() -> None:
    before = pipeline(nn.Linear(2, 3), (0.1,), (0.2,))
    model = pipeline(nn.Linear(2, 3), (0.5,), (0.5,))
    assert fit(model, before.state_dict()).loaded == 4
    assert float(model.normalize.mean) == pytest.approx(0.1)


def test_a_network_for_grey_images_takes_the_weights_of_one_for_coloured_ones() -> None:
    weights, model = bare("squeezenet1_1", 3), whole("squeezenet1_1", 3, channels=1)
    assert fit(model, weights).loaded == len(weights)
    assert torch.equal(model.net.net.classifier[1].weight, weights["classifier.1.weight"])


def without(weights: Weights, *keys: str) -> Weights:
    return {key: value for key, value in weights.items() if key not in keys}


def renamed(weights: Weights, old: str, new: str) -> Weights:
    return {key.replace(old, new): value for key, value in weights.items()}


TRUNK = "the weights do not fit the model: "
OTHER = "the weights are of another model: it has "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: without(w, "0.weight"), TRUNK + "0.weight is missing"),
        (lambda w: w | {"x.y": torch.ones(1)}, TRUNK + "x.y is not the model's"),
        (
            lambda w: w | {"0.weight": torch.ones(32, 1, 3, 3)},
            TRUNK + "0.weight is (32, 1, 3, 3), the model's is (32, 3, 3, 3)",
        ),
        (
            lambda w: w | {"1.weight": torch.ones(16), "1.bias": torch.ones(16)},
            TRUNK
            + "1.weight is (16,), the model's is (32,); 1.bias is (16,), the model's is (32,)",
        ),
        (
            lambda w: renamed(w, "1.", "bn."),
            TRUNK + "1.weight is missing; 1.bias is missing; 1.running_mean is missing, and 6 more",
        ),
        (lambda w: {}, TRUNK + "there are none"),
        (
            lambda w: {f"features.{key}": value for key, value in w.items()},
            OTHER + "0.weight and such, they have features.0.weight",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_the_model_stays_as_it_was(
    change: object, message: str
) -> None:
    model = whole("cnn_small", 4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    weights: Mapping[str, Tensor] = change(bare("cnn_small", 4))  # type: ignore[operator]
    with pytest.raises(WrongValue) as caught:
        fit(model, weights)
    assert str(caught.value) == message
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_layer_inside_the_network_is_no_head() -> None:
    narrow, wide = (
        nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3)) for width in (8, 16)
    )
    with pytest.raises(WrongValue, match=r"2\.weight is \(3, 8\), the model's is \(3, 16\)"):
        fit(wide, narrow.state_dict())


def test_weights_without_batch_counts_and_with_auxiliary_heads_are_taken() -> None:
    weights = bare("cnn_small", 4)
    old = {key: value for key, value in weights.items() if "num_batches" not in key}
    report = fit(whole("cnn_small", 4), old | {"aux1.fc.weight": torch.ones(2, 2)})
    assert report.unused == ("aux1.fc.weight",)
    assert str(report).endswith("; 1 of auxiliary heads left out")


# ---- torchvision's --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("IMAGENET1K_V3", "resnet50", "resnet50 has no weights 'IMAGENET1K_V3'; nearest: .*"
         "valid: IMAGENET1K_V1, IMAGENET1K_V2"),
        ("ResNet50_Weights.DEFAULT", "resnet18", "ResNet50_Weights.DEFAULT are not weights of"
         " resnet18; its are ResNet18_Weights"),
        ("DEFAULT", "resnet18_cifar", "no weights 'DEFAULT' for the model resnet18_cifar"),
        ("DEFAULT", "cells:net", "no weights 'DEFAULT' for the model cells:net"),
        ("Nothing_Weights.V1", "cells:net", "torchvision has no weights 'Nothing_Weights.V1'"),
        ("ResNet18_Weights.V9", "cells:net", "torchvision has no weights 'ResNet18_Weights.V9'"),
    ],
)  # fmt: skip
def test_a_name_that_torchvision_has_not_is_said_so(name: str, model: str, message: str) -> None:
    with pytest.raises(UnknownName, match=message) as caught:
        torchvision_weights(name, model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("DEFAULT", "squeezenet1_1"),
        ("SqueezeNet1_1_Weights.IMAGENET1K_V1", "squeezenet1_1"),
        ("SqueezeNet1_1_Weights.IMAGENET1K_V1", "users_own:net"),
    ],
)
def test_weights_in_torch_hub_s_cache_need_no_network(
    name: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import SqueezeNet1_1_Weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = bare("squeezenet1_1", 1000)
    file = tmp_path / "hub" / "checkpoints" / SqueezeNet1_1_Weights.DEFAULT.url.split("/")[-1]
    file.parent.mkdir(parents=True)
    torch.save(weights, file)
    found = torchvision_weights(name, model)
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    file.write_bytes(b"cut off")
    with pytest.raises(WrongValue, match=f"cannot read {file.name}, from ") as caught:
        torchvision_weights(name, model)
    assert "\n" not in str(caught.value)


def test_without_a_network_the_file_and_the_ways_round_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from torchvision.models import ResNet18_Weights

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # A proxy that refuses, in place of a network that isn't there: nothing leaves the machine.
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(WrongValue) as caught:
        torchvision_weights("IMAGENET1K_V1", "resnet18")
    message = str(caught.value)
    assert message.startswith(f"cannot fetch {ResNet18_Weights.IMAGENET1K_V1.url} (")
    assert ".safetensors file or a models:/ URI works without a network" in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")
