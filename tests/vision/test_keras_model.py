"""A Keras model is trained, evaluated, exported and stored as any torch module is."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from heliostat.vision import keras_model, models
from heliostat.vision.classification import Classification
from heliostat.vision.export import export
from heliostat.vision.mistakes import WrongValue
from heliostat.vision.normalize import pipeline

TASK = Classification([str(k) for k in range(10)])
JOB = Path(__file__).resolve().parents[2] / "jobs" / "keras_cnn"

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra, keras"),
]


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras on its torch backend."""
    with keras_model.on_torch("this test"):
        import keras
    return keras


@pytest.fixture
def convnet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., nn.Module]]:
    """The example's network, built by its path."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(JOB)
    yield lambda **data: models.build("keras_cnn:convnet", {}, **data)
    sys.modules.pop("keras_cnn", None)


def digits(side: int = 8) -> tuple[Tensor, Tensor]:
    """Handwritten digits, floats (1,797, 1, side, side) about 0, and their classes."""
    found = load_digits()
    images = torch.from_numpy(found.images).float()[:, None] / 16 - 0.3
    images = nn.functional.interpolate(images, size=(side, side), mode="bilinear")
    return images, torch.from_numpy(found.target)


def body(keras: Any) -> list[Any]:
    """The layers of a small network that has what behaves otherwise in training."""
    layers = keras.layers
    return [
        layers.Conv2D(4, 3, padding="same", activation="relu"),
        layers.BatchNormalization(),
        layers.Flatten(),
        layers.Dropout(0.25),
    ]


# ---- softmax --------------------------------------------------------------------------------


def dense_softmax(keras: Any) -> Any:
    last = keras.layers.Dense(10, activation="softmax")
    return keras.Sequential([keras.Input((8, 8, 1)), *body(keras), last])


def softmax_layer(keras: Any) -> Any:
    last = [keras.layers.Dense(10), keras.layers.Softmax()]
    return keras.Sequential([keras.Input((8, 8, 1)), *body(keras), *last])


def activation_layer(keras: Any) -> Any:
    last = [keras.layers.Dense(10), keras.layers.Activation("softmax")]
    return keras.Sequential([keras.Input((8, 8, 1)), *body(keras), *last])


def functional_softmax(keras: Any) -> Any:
    inputs = value = keras.Input((8, 8, 1))
    for layer in body(keras):
        value = layer(value)
    value = keras.layers.Dense(10)(value)
    return keras.Model(inputs, keras.layers.Softmax()(value))


def operation_softmax(keras: Any) -> Any:
    inputs = value = keras.Input((8, 8, 1))
    for layer in body(keras):
        value = layer(value)
    return keras.Model(inputs, keras.ops.softmax(keras.layers.Dense(10)(value)))


def nested_softmax(keras: Any) -> Any:
    return keras.Sequential([keras.Input((8, 8, 1)), dense_softmax(keras)])


def subclass_softmax(keras: Any) -> Any:
    class Own(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dropout = keras.layers.Dropout(0.25)
            self.flatten = keras.layers.Flatten()
            self.dense = keras.layers.Dense(10, activation="softmax")

        def call(self, images: Any) -> Any:
            return self.dense(self.flatten(self.dropout(images)))

    return Own()


def no_softmax(keras: Any) -> Any:
    return keras.Sequential([keras.Input((8, 8, 1)), *body(keras), keras.layers.Dense(10)])


REMOVED = [dense_softmax, softmax_layer, activation_layer, functional_softmax]
CONVERTED = [operation_softmax, nested_softmax, subclass_softmax]


@pytest.mark.parametrize("make", [*REMOVED, *CONVERTED])
def test_softmax_is_taken_once_wherever_the_model_has_it(
    keras: Any, make: Callable[[Any], Any]
) -> None:
    net, (images, _) = make(keras), digits()
    images = images[:50] * 30  # so that the probabilities are far apart
    with torch.no_grad():
        expected = net(images.permute(0, 2, 3, 1), training=False).detach().clone()
        model = keras_model.wrap("it", net, 1, (8, 8)).eval()
        probabilities = TASK.predictor(model)(images)
    assert model.gives_probabilities == (make in CONVERTED)
    torch.testing.assert_close(probabilities, expected, rtol=1e-4, atol=1e-5)
    assert float(expected.max()) > 0.3  # twice would be flat: at most e / (e + 9)


def test_logits_stay_logits(keras: Any) -> None:
    net, (images, _) = no_softmax(keras), digits()
    model = keras_model.wrap("it", net, 1, (8, 8)).eval()
    with torch.no_grad():
        logits, expected = model(images[:9]), net(images[:9].permute(0, 2, 3, 1), training=False)
    assert not model.gives_probabilities
    torch.testing.assert_close(logits, expected)
    assert float(logits.min()) < 0


# ---- layout ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_images_are_turned_to_the_layout_that_the_model_has(keras: Any, layout: str) -> None:
    shape = (6, 8, 3) if layout == "channels_last" else (3, 6, 8)
    convolution = keras.layers.Conv2D(2, 3, padding="same", data_format=layout)
    flatten = keras.layers.Flatten(data_format=layout)
    net = keras.Sequential([keras.Input(shape), convolution, flatten])
    model = keras_model.wrap("it", net, 3, (6, 8))
    images = torch.rand(2, 3, 6, 8)
    kernel, bias = model.layers.conv2d.kernel, model.layers.conv2d.bias
    expected = nn.functional.conv2d(images, kernel.permute(3, 2, 0, 1), bias, padding=1)
    torch.testing.assert_close(model(images), expected.permute(0, 2, 3, 1).flatten(1))


def test_a_model_without_a_shape_is_built_for_the_data(keras: Any) -> None:
    net = keras.Sequential([*body(keras), keras.layers.Dense(10)])
    model = keras_model.wrap("it", net, 3, (5, 7))
    assert model.layers.conv2d.kernel.shape == (3, 3, 3, 4)
    assert model(torch.rand(2, 3, 5, 7)).shape == (2, 10)


# ---- a torch module -------------------------------------------------------------------------


def test_variables_are_parameters_and_buffers_by_names_that_do_not_change(keras: Any) -> None:
    first, second = (keras_model.wrap("it", dense_softmax(keras), 1, (8, 8)) for _ in range(2))
    for model in (first, second):
        assert {name for name, _ in model.named_parameters()} == {
            *("layers.conv2d.kernel", "layers.conv2d.bias"),
            *("layers.batch_normalization.gamma", "layers.batch_normalization.beta"),
            *("layers.dense.kernel", "layers.dense.bias"),
        }
        assert {name for name, _ in model.named_buffers()} == {
            "layers.batch_normalization.moving_mean",
            "layers.batch_normalization.moving_variance",
            "layers.seed_generator.seed_generator_state",
        }


def test_training_moves_statistics_and_drops_and_evaluation_does_neither(keras: Any) -> None:
    model, (images, _) = keras_model.wrap("it", dense_softmax(keras), 1, (8, 8)), digits()
    moving = model.layers.batch_normalization.moving_mean
    with torch.no_grad():
        model.eval()
        assert torch.equal(model(images), model(images))
        assert torch.equal(moving, torch.zeros(4))
        model.train()
        assert not torch.equal(model(images), model(images))
        assert float(moving.abs().min()) > 0


def test_ddp_averages_its_gradients(keras: Any, tmp_path: Path) -> None:
    model, (images, targets) = keras_model.wrap("it", no_softmax(keras), 1, (8, 8)), digits()
    distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        replica = DistributedDataParallel(copy.deepcopy(model))
        for net in (model, replica):
            torch.manual_seed(0)
            nn.functional.cross_entropy(net(images[:99]), targets[:99]).backward()
        pairs = zip(model.parameters(), replica.parameters(), strict=True)
        assert all(torch.allclose(ours.grad, its.grad) for ours, its in pairs)
        assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())
    finally:
        distributed.destroy_process_group()


def test_layers_of_a_subclass_are_told_that_it_trains(keras: Any) -> None:
    model, (images, _) = keras_model.wrap("it", subclass_softmax(keras), 1, (8, 8)), digits()
    with torch.no_grad():
        assert not torch.equal(model.train()(images), model(images))
        assert torch.equal(model.eval()(images), model(images))


def test_a_copy_and_a_stored_state_are_the_model_and_no_longer_follow_it(
    keras: Any, tmp_path: Path
) -> None:
    model, (images, _) = keras_model.wrap("it", dense_softmax(keras), 1, (8, 8)), digits()
    copied = copy.deepcopy(model)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    with torch.no_grad():
        before = model.eval()(images)
        for parameter in model.parameters():
            parameter += 0.1
        assert torch.equal(copied.eval()(images), before)
        assert not torch.allclose(model(images), before)
        model.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert torch.equal(model(images), before)


def test_initial_weights_follow_torch_s_seed(convnet: Callable[..., nn.Module]) -> None:
    def kernel(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return convnet(num_classes=10, in_channels=1, size=(28, 28)).layers.dense.kernel

    assert torch.equal(kernel(1), kernel(1))
    assert not torch.equal(kernel(1), kernel(2))


def test_the_tutorial_s_network_learns_digits_and_is_exported(
    convnet: Callable[..., nn.Module],
) -> None:
    torch.manual_seed(0)
    images, targets = digits(16)
    order = torch.randperm(len(images))
    images, targets = images[order], targets[order]
    model = pipeline(convnet(num_classes=10, in_channels=1, size=(16, 16)), None, None).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for batch in torch.randperm(1_437).split(64):
            optimizer.zero_grad()
            TASK.loss(model, images[batch], targets[batch]).mean().backward()
            optimizer.step()
    evaluation, predictor = TASK.evaluation(), TASK.predictor(model).eval()
    with torch.no_grad():
        evaluation.update(model, images[1_437:], targets[1_437:])
        assert evaluation.compute()["accuracy"] > 0.95
        program = export(predictor, images[:2]).module()
        for count in (1, 5):
            torch.testing.assert_close(program(images[:count]), predictor(images[:count]))


# ---- mistakes -------------------------------------------------------------------------------


def test_images_of_another_shape_than_the_model_s_are_a_mistake(keras: Any) -> None:
    message = (
        r"it takes inputs of \(8, 8, 1\) \(height, width, channels\),"
        r" and the data has \(32, 32, 3\)"
    )
    with pytest.raises(WrongValue, match=message):
        keras_model.wrap("it", dense_softmax(keras), 3, (32, 32))


def test_a_model_of_several_inputs_or_of_no_shape_at_all_is_a_mistake(keras: Any) -> None:
    one, two = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    several = keras.Model([one, two], keras.layers.Flatten()(one + two))
    with pytest.raises(WrongValue, match="it takes 2 inputs; a classifier takes one"):
        keras_model.wrap("it", several, 1, (8, 8))
    shapeless = keras.Sequential([keras.layers.Dense(3)])
    with pytest.raises(WrongValue, match=r"no input shape; begin it with keras.Input\(shape\)"):
        keras_model.wrap("it", shapeless, 1, None)


def test_keras_that_is_not_installed_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "keras_less.py").write_text("import keras\n")
    with pytest.raises(WrongValue, match=r"model keras_less:net needs Keras: install heliostat\["):
        models.check("keras_less:net", {})


def test_another_backend_is_a_mistake(keras: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(WrongValue, match="it: Keras's backend is jax; KERAS_BACKEND=torch"):
        keras_model.wrap("it", no_softmax(keras), 1, (8, 8))


def test_another_backend_that_is_not_installed_is_a_mistake(tmp_path: Path) -> None:
    if find_spec("tensorflow") is not None:
        pytest.skip("tensorflow is installed")
    (tmp_path / "own.py").write_text("import keras\ndef net(): ...\n")
    code = (
        "from heliostat.vision import models\n"
        "try: models.check('own:net', {})\n"
        "except ValueError as mistake: print(mistake)"
    )
    surroundings = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    surroundings["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *map(str, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "model own:net: Keras's backend is tensorflow;"
        " KERAS_BACKEND=torch (the spec's env) is what trains here\n"
    )
