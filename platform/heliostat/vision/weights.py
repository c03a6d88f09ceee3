"""Weights from elsewhere: torchvision's by name, and what of a file's fits a model."""

from __future__ import annotations

import contextlib
import io
import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from heliostat.vision import imports
from heliostat.vision.mistakes import UnknownName, WrongValue


@dataclass(frozen=True)
class Report:
    """What `fit` did; `str()` is a line of it."""

    loaded: int
    """Tensors taken from the weights."""
    heads: tuple[str, ...] = ()
    """Layers that keep their fresh weights, for another number of outputs: "fc (1000 → 10)"."""
    unused: tuple[str, ...] = ()
    """Keys of auxiliary heads, which the model doesn't have."""

    def __str__(self) -> str:
        parts = [f"{self.loaded} tensors loaded"]
        if self.heads:
            parts.append(f"not those of the head, which starts anew: {', '.join(self.heads)}")
        if self.unused:
            parts.append(f"{len(self.unused)} of auxiliary heads left out")
        return "; ".join(parts)


def torchvision_weights(name: str, model: str) -> dict[str, Tensor]:
    """Return torchvision's weights `name` for its model `model`, on the CPU.

    `name` is `DEFAULT`, `IMAGENET1K_V1` or such, or `ResNet18_Weights.IMAGENET1K_V1`, which is
    enough where `model` is no name of torchvision's. They are downloaded into torch.hub's cache
    (TORCH_HOME), if they aren't in it. Imports torchvision (4 s).

    Raises UnknownName where there are no such weights, and WrongValue where they cannot be had.
    """
    weights = _weights_of(name, model)
    file = weights.url.rpartition("/")[2]
    said = io.StringIO()  # torch.hub prints where it downloads to
    try:
        with contextlib.redirect_stdout(said):
            state = weights.get_state_dict(
                progress=False, check_hash=True, map_location="cpu", weights_only=True
            )
    except OSError as error:
        raise WrongValue(
            f"cannot fetch {weights.url} ({_one_line(error)}); a .safetensors file or a"
            f" models:/ URI works without a network, and so does {file} in torch.hub's cache"
        ) from error
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WrongValue(f"cannot read {file}, from {weights.url}: {_one_line(error)}") from error
    return {_modern(key, model): value for key, value in state.items()}


def fit(model: nn.Module, weights: Mapping[str, Tensor]) -> Report:
    """Put weights into the model.

    Their keys may be those of heliostat's whole model (`net.…`, `normalize.…`) or of a bare
    network, also one that was wrapped (`module.…`). What `normalize` lacks, it keeps.

    A linear layer or convolution that differs in its number of outputs alone is a head for other
    classes: it keeps its fresh weights, and the report says so. (Inside a network such a layer
    makes the next one differ too.) Raises WrongValue for all else that is missing, unexpected or
    of another shape; the model is then as it was.
    """
    expected = model.state_dict()
    aligned = _aligned(weights, expected)
    unused = tuple(key for key in aligned if key not in expected and _AUXILIARY.match(_bare(key)))
    reshaped = {
        key for key, value in expected.items()
        if key in aligned and aligned[key].shape != value.shape
    }  # fmt: skip
    heads = {
        name: keys
        for name, module in model.named_modules()
        if (keys := _head_keys(name, module, aligned, reshaped))
    }
    of_heads = {key for keys in heads.values() for key in keys}
    if faults := list(_faults(expected, aligned, of_heads, set(unused))):
        raise WrongValue(_told(faults, expected, weights))
    loaded = {k: v for k, v in aligned.items() if k in expected and k not in of_heads}
    model.load_state_dict(loaded, strict=False)
    return Report(
        loaded=len(loaded),
        heads=tuple(
            f"{_bare(name)} ({aligned[keys[0]].shape[0]} → {expected[keys[0]].shape[0]})"
            for name, keys in heads.items()
        ),
        unused=tuple(map(_bare, unused)),
    )


# Heads that help only in training; heliostat builds googlenet and inception_v3 without.
_AUXILIARY = re.compile(r"(aux1|aux2|AuxLogits|aux_classifier)\.")
# What may stand before a bare network's keys: torch's DDP; the pipeline, whose second part may be
# a network of three channels for grey images.
_WRAPPED = ("", "module.", "net.", "net.net.")
_IN_MODEL = ("", "net.", "net.net.")
_TOLD = 3


def _weights_of(name: str, model: str) -> Any:
    """Return the member of torchvision's enumeration."""
    from torchvision import models

    kind, _, member = name.rpartition(".")
    try:
        own = models.get_model_weights(model)
    except (ValueError, AttributeError):
        if not kind:
            raise UnknownName(
                f"torchvision has no weights {name!r} for the model {model}"
            ) from None
        own = None
    if own is None:
        try:
            return models.get_weight(name)
        except (ValueError, KeyError, TypeError):
            raise UnknownName(f"torchvision has no weights {name!r}") from None
    if kind not in ("", own.__name__):
        raise UnknownName(f"{name} are not weights of {model}; its are {own.__name__}")
    if member not in own.__members__:
        valid = ", ".join(own.__members__) or "none"
        raise UnknownName(
            f"{model} has no weights {member!r}{imports.nearest(member, own.__members__)};"
            f" valid: {valid}"
        )
    return own[member]


def _modern(key: str, model: str) -> str:
    """Return a DenseNet's key as torchvision's builder renames it: `norm.1.…` is `norm1.…`."""
    if not model.startswith("densenet"):
        return key
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)", r"\1\2", key)


def _aligned(weights: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights by the model's keys: the renaming by which most of them are there."""
    normalize = {k: v for k, v in weights.items() if k.startswith("normalize.")}
    rest = {k: v for k, v in weights.items() if k not in normalize}

    def renamed(wrapped: str, prefix: str) -> dict[str, Tensor]:
        return {prefix + key.removeprefix(wrapped): value for key, value in rest.items()}

    choices = [renamed(wrapped, prefix) for wrapped in _WRAPPED for prefix in _IN_MODEL]
    best = max(choices, key=lambda choice: len(choice.keys() & expected.keys()))
    return normalize | best


def _head_keys(
    name: str, module: nn.Module, weights: Mapping[str, Tensor], reshaped: set[str]
) -> list[str]:
    """Return the layer's keys, weight first, if it fits but for its number of outputs."""
    if not isinstance(module, nn.Linear | _ConvNd):
        return []
    own = {f"{name}.{key}".removeprefix("."): value for key, value in module.state_dict().items()}
    if not own or not own.keys() <= reshaped:
        return []
    fits = all(weights[key].shape[1:] == value.shape[1:] for key, value in own.items())
    return list(own) if fits else []


def _faults(
    expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], heads: set[str], unused: set[str]
) -> Iterator[str]:
    for key, value in expected.items():
        # What a module keeps beside its tensors (a pool of images) is no weight.
        if key in heads or key.endswith("_extra_state"):
            continue
        if key not in weights:
            # Written by torch since 0.4.1 only, and read by nothing but momentum=None.
            if not key.startswith("normalize.") and not key.endswith(".num_batches_tracked"):
                yield f"{_bare(key)} is missing"
        elif weights[key].shape != value.shape:
            theirs, ours = tuple(weights[key].shape), tuple(value.shape)
            yield f"{_bare(key)} is {theirs}, the model's is {ours}"
    # A data set without a mean has no normalize to put one into.
    others = weights.keys() - expected.keys() - unused
    yield from (f"{_bare(key)} is not the model's" for key in weights if key in others)


def _told(faults: list[str], expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    if not weights:
        return "the weights do not fit the model: there are none"
    if sum(fault.endswith(" is missing") for fault in faults) >= len(_trained(expected)):
        ours, theirs = _bare(_trained(expected)[0]), next(iter(weights))
        return f"the weights are of another model: it has {ours} and such, they have {theirs}"
    more = f", and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
    return f"the weights do not fit the model: {'; '.join(faults[:_TOLD])}{more}"


def _trained(expected: Mapping[str, Tensor]) -> list[str]:
    return [
        key for key in expected
        if not key.startswith("normalize.") and not key.endswith(".num_batches_tracked")
    ]  # fmt: skip


def _bare(key: str) -> str:
    """Return a key as the network itself has it."""
    return key.removeprefix("net.").removeprefix("net.")


def _one_line(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return next((line.strip() for line in str(reason).splitlines() if line.strip()), repr(error))
