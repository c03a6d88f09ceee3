from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional

from heliostat.vision.normalize import Normalize, pipeline

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def test_bytes_and_floats_are_normalised_as_torchvision_does() -> None:
    pixels = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    expected = functional.normalize(pixels.float() / 255, list(MEAN), list(STD))
    layer = Normalize(MEAN, STD)
    torch.testing.assert_close(layer(pixels), expected)
    torch.testing.assert_close(layer(pixels.double() / 255), expected)
    assert layer(pixels).dtype == torch.float32


def test_the_pipeline_s_state_dict_names_its_two_parts() -> None:
    state = pipeline(nn.Linear(2, 3), MEAN, STD).state_dict()
    assert set(state) == {"normalize.mean", "normalize.std", "net.weight", "net.bias"}


def test_without_a_mean_only_bytes_are_scaled() -> None:
    through = pipeline(nn.Identity(), None, None)
    floats, mapping = torch.rand(3, 7), {"a": torch.ones(1)}
    assert through(floats) is floats
    assert through(mapping) is mapping
    assert float(through(torch.tensor([255], dtype=torch.uint8))) == 1.0
    assert through.state_dict() == {}


def test_a_std_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="positive std"):
        Normalize((0.5,), (0.0,))
