from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor, nn

from heliostat.vision import models
from heliostat.vision.classification import Classification
from heliostat.vision.export import export, initialise_lazy
from heliostat.vision.normalize import pipeline

TASK = Classification([str(k) for k in range(10)])


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [("cnn_small", 1, 8), ("cnn_small", 1, 28), ("resnet9", 3, 32), ("resnet18", 1, 32)],
)
def test_a_saved_program_predicts_what_the_model_does(name: str, channels: int, size: int) -> None:
    torch.manual_seed(0)
    net = models.build(name, {}, num_classes=10, in_channels=channels)
    model = pipeline(net, (0.3,) * channels, (0.2,) * channels)
    images = torch.randint(0, 256, (7, channels, size, size), dtype=torch.uint8)
    model.train()(images)  # running statistics that are not the initial ones
    predictor = TASK.predictor(model)
    stored = io.BytesIO()
    torch.export.save(export(predictor, images[:2]), stored)
    stored.seek(0)
    program = torch.export.load(stored).module()
    assert predictor.training
    with torch.no_grad():
        predictor.eval()
        for count in (1, 2, 7):
            ours, its = predictor(images[:count]), program(images[:count])
            torch.testing.assert_close(its, ours, rtol=0, atol=1e-6)
            assert torch.equal(its.argmax(1), ours.argmax(1))


class Frozen(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.reshape(2, -1) * 1.0


class Branching(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs if inputs.sum() > 0 else -inputs


class Pooling(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean(dim=0)


@pytest.mark.parametrize("module", [Frozen(), Branching(), Pooling()])
def test_what_does_not_export_with_a_free_batch_is_a_value_error(module: nn.Module) -> None:
    with pytest.raises(ValueError, match="export"):
        export(module, torch.rand(2, 3))


def test_an_example_of_one_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        export(nn.Identity(), torch.rand(1, 3))


def test_lazy_modules_get_their_shapes_and_nothing_else_changes() -> None:
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    net[2].eval()
    initialise_lazy(net, torch.rand(2, 3, 8, 8))
    assert net[3].weight.shape == (2, 144)
    assert torch.equal(net[1].running_mean, torch.zeros(4))
    assert [part.training for part in net] == [True, True, False, True]


def test_a_model_that_is_not_lazy_is_not_run() -> None:
    initialise_lazy(nn.Linear(2, 2), "no input at all")
