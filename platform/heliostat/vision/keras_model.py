"""A Keras 3 model on its torch backend, as the torch module that it then is.

Keras is an optional extra. Nothing here imports it: a model of the user's own that is Keras's has.
"""

from __future__ import annotations

import inspect
import os
import random
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from heliostat.vision.mistakes import WrongValue

Shape = tuple[int | None, ...]


@contextmanager
def on_torch(what: str) -> Iterator[None]:
    """Around the user's code: Keras, if that imports it, has its torch backend and torch's seed.

    Keras draws initial weights by Python's `random`, which is seeded meanwhile. A KERAS_BACKEND
    that is set stays. Raises WrongValue, beginning with `what`, where Keras or the backend that
    was chosen isn't installed.
    """
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    state = random.getstate()
    random.seed(torch.initial_seed())
    try:
        yield
    except ModuleNotFoundError as error:
        backend = os.environ.get("KERAS_BACKEND", "torch")
        if error.name == "keras":
            raise WrongValue(f"{what} needs Keras: install heliostat[keras]") from error
        if backend != "torch" and error.name in _BACKENDS:
            raise WrongValue(f"{what}: {_other_backend(backend)}") from error
        raise
    finally:
        random.setstate(state)


def is_keras(net: Any) -> bool:
    """Tell whether an object is a Keras model or layer, without importing Keras."""
    return any(kind.__module__.partition(".")[0] == "keras" for kind in type(net).__mro__)


def wrap(what: str, net: Any, in_channels: int | None, size: tuple[int, int] | None) -> KerasModel:
    """Return a Keras model as a module from images (n, C, H, W) to logits (n, K).

    A model without `keras.Input` is built for the data's channels and size. A softmax at its end
    is removed; probabilities that come about otherwise are turned into their logarithms, which
    are logits of the same probabilities. Raises WrongValue, beginning with `what`, for a model on
    another backend, of several inputs, or for images of another shape.
    """
    import keras

    if (backend := keras.config.backend()) != "torch":
        raise WrongValue(f"{what}: {_other_backend(backend)}")
    channels_last = _layout(net) == "channels_last"
    offered = _offered(in_channels, size, channels_last)
    if not net.built:
        if offered is None or size is None:
            raise WrongValue(f"{what} has no input shape; begin it with keras.Input(shape)")
        net(keras.Input(offered))
    shape = _input_shape(what, net) or offered
    if shape is None:
        raise WrongValue(f"{what} has no input shape; begin it with keras.Input(shape)")
    if offered is not None and not _agree(shape, offered):
        order = "height, width, channels" if channels_last else "channels, height, width"
        raise WrongValue(f"{what} takes inputs of {shape} ({order}), and the data has {offered}")
    net = _with_training(_without_softmax(net), shape)
    model = KerasModel(net, channels_last=channels_last)
    model.gives_probabilities = _gives_probabilities(model, shape)
    return model


class KerasModel(nn.Module):
    """What `wrap` gives.

    Keras's variables are this module's own: trainable ones are parameters, and the others
    (BatchNormalization's moving statistics, say) buffers, by the names of their layers. Keras is
    called with their values (`stateless_call`), so that DDP, copies and devices are torch's.
    train() and eval() are Keras's `training`. Regularisers' losses are not taken.
    """

    def __init__(self, net: Any, *, channels_last: bool) -> None:
        super().__init__()
        self.gives_probabilities = False
        self._channels_last = channels_last
        self._keras = _Shared(net)
        self.layers = nn.Module()
        names = _names(net)
        self._trainable = [self._add(names[id(v)], v, True) for v in net.trainable_variables]
        self._others = [self._add(names[id(v)], v, False) for v in net.non_trainable_variables]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        import keras

        others = [getattr(*place) for place in self._others]
        inputs = images.movedim(1, -1) if self._channels_last else images
        with keras.device(_device(images.device)):
            outputs, updated = self._keras.net.stateless_call(
                [getattr(*place) for place in self._trainable],
                others,
                inputs,
                training=self.training,
            )
        if self.training:
            with torch.no_grad():
                for other, value in zip(others, updated, strict=True):
                    other.copy_(value)
        if self.gives_probabilities:
            outputs = outputs.clamp(min=torch.finfo(outputs.dtype).tiny).log()
        logits: Tensor = outputs
        return logits

    def _add(self, name: str, variable: Any, trainable: bool) -> tuple[nn.Module, str]:
        """Have a variable's value as this module's own; return where: (module, attribute)."""
        *path, last = name.split("/")
        place = self.layers
        for part in path:
            if part not in place._modules:
                place.add_module(part, nn.Module())
            place = place.get_submodule(part)
        # Keras puts variables on a GPU where there is one; the model comes there with the rest.
        value = variable.value.detach().to("cpu", copy=True)
        if trainable:
            place.register_parameter(last, nn.Parameter(value))
        else:
            place.register_buffer(last, value)
        return place, last


# What Keras imports for a backend; KERAS_BACKEND=numpy takes parts of jax's.
_BACKENDS = ("tensorflow", "jax", "openvino")


class _Shared:
    """A Keras model, of which copies share the one: its variables' values are not used."""

    def __init__(self, net: Any) -> None:
        self.net = net

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def _other_backend(backend: str) -> str:
    return f"Keras's backend is {backend}; KERAS_BACKEND=torch (the spec's env) is what trains here"


def _layout(net: Any) -> str:
    """Return "channels_last" or "channels_first": the first layer's that has a layout."""
    import keras

    layers = getattr(net, "layers", [])
    own = [layer.data_format for layer in layers if getattr(layer, "data_format", None)]
    layout: str = own[0] if own else keras.config.image_data_format()
    return layout


def _offered(
    in_channels: int | None, size: tuple[int, int] | None, channels_last: bool
) -> Shape | None:
    """Return the shape of the data's images as the model takes them; None where it isn't known."""
    if in_channels is None:
        return None
    height, width = size or (None, None)
    return (height, width, in_channels) if channels_last else (in_channels, height, width)


def _input_shape(what: str, net: Any) -> Shape | None:
    """Return the shape of a model's one input without the batch; None of a subclass's model."""
    shape = getattr(net, "input_shape", None)
    if shape is None:
        return None
    if isinstance(shape, dict | list) or any(isinstance(part, tuple | list) for part in shape):
        raise WrongValue(f"{what} takes {len(shape)} inputs; a classifier takes one, the images")
    return tuple(shape[1:])


def _agree(shape: Shape, offered: Shape) -> bool:
    return len(shape) == len(offered) and all(
        a == b or a is None or b is None for a, b in zip(shape, offered, strict=True)
    )


def _without_softmax(net: Any) -> Any:
    """Return the model without the softmax that its last layer is or has, as far as that is so.

    Of a last layer with an activation, only that is changed; the variables stay the same.
    """
    import keras

    layers, outputs = getattr(net, "layers", []), getattr(net, "outputs", None)
    if not outputs or len(outputs) != 1 or outputs[0]._keras_history.operation is not layers[-1]:
        return net
    last = layers[-1]
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
    elif isinstance(last, keras.layers.Softmax) and last.axis in (-1, 1):
        return keras.Model(net.inputs, last.input, name=net.name)
    return net


def _with_training(net: Any, shape: Shape) -> Any:
    """Return a model that can be told whether it trains, which Keras then tells its layers."""
    import keras

    if "training" in inspect.signature(net.call).parameters:
        return net
    return keras.Sequential([keras.Input(shape), net])


def _gives_probabilities(model: KerasModel, shape: Shape) -> bool:
    """Tell whether what comes out for an input are numbers from 0 that sum to 1."""
    there = [side or _UNKNOWN_SIDE for side in shape]
    pixels = torch.arange(float(torch.tensor([2, *there]).prod())).sin().view(2, *there)
    images = pixels.movedim(-1, 1) if model._channels_last else pixels
    was_training = model.training
    with torch.no_grad():
        outputs = model.eval()(images)
    model.train(was_training)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[1] < 2:
        return False
    sums = outputs.float().sum(dim=1)
    return bool((outputs >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-4)


_UNKNOWN_SIDE = 64
"""Pixels of a side that the model leaves open, to see what it gives."""


def _names(net: Any) -> dict[int, str]:
    """Return a name for each variable: `conv2d/kernel`, the same whenever the model is built.

    Keras numbers the layers that have no name by how many there were before in the process.
    """
    renamed = _renamed(_layers(net))
    names: dict[int, str] = {}
    for variable in (*net.trainable_variables, *net.non_trainable_variables):
        path = variable.path.split("/")
        path = path[1:] if path[0] == net.name and len(path) > 1 else path
        path = [_SEEDS.sub("seed_generator", renamed.get(part, part)) for part in path]
        name = "/".join(map(_attribute, path))
        while name in names.values():
            name += "_"
        names[id(variable)] = name
    return names


_SEEDS = re.compile(r"^seed_generator(_\d+)?$")  # a Dropout's, which stands beside the layers


def _layers(net: Any) -> Iterator[Any]:
    for layer in getattr(net, "layers", []):
        yield layer
        yield from _layers(layer)


def _renamed(layers: Iterator[Any]) -> dict[str, str]:
    """Return new names for the layers that Keras named itself, numbered within the model."""
    numbers: dict[str, int] = {}
    names: dict[str, str] = {}
    for layer in layers:
        base = layer.name.rstrip("0123456789").rstrip("_")
        own = next((b for b in (layer.name, base) if _is_class(b, layer)), None)
        if own is not None and layer.name not in names:
            number = numbers[own] = numbers.get(own, -1) + 1
            names[layer.name] = f"{own}_{number}" if number else own
    return names


def _is_class(name: str, layer: Any) -> bool:
    return name.replace("_", "") == type(layer).__name__.lower()


def _attribute(name: str) -> str:
    """Return the name as one that a module can have."""
    name = name.replace(".", "_")
    return f"{name}_" if hasattr(nn.Module(), name) else name


def _device(device: torch.device) -> str:
    return device.type if device.index is None else f"{device.type}:{device.index}"
