"""What a spec says of a model beyond its name: what is frozen, recomputed, laid out otherwise."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from heliostat.spec import InputError, ModelSpec, did_you_mean


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Have the parameters whose names match a pattern stand still.

    Raises InputError, key ("model", "freeze", place), for a pattern that none matches.
    """
    for place, pattern in enumerate(patterns):
        for parameter in parameters_named(model, pattern, ("model", "freeze", place)):
            parameter.requires_grad_(False)


def parameters_named(
    model: nn.Module, pattern: str, key: tuple[str | int, ...]
) -> list[nn.Parameter]:
    """Return the parameters whose names match the pattern; InputError, at `key`, if none does.

    Names are those of the network, as `weights` has them.
    """
    parameters = {_short(name): parameter for name, parameter in model.named_parameters()}
    return [parameters[name] for name in _matching(pattern, parameters, key)]


def apply_settings(model: nn.Module, spec: ModelSpec, device: torch.device) -> nn.Module:
    """Return the model as the spec wants it on this device; it is changed in place.

    Raises InputError for a pattern that matches no module, for SyncBatchNorm on a CPU, and for
    torch.compile where its compiler is missing.
    """
    modules = {_short(name): module for name, module in model.named_modules() if name}
    for place, pattern in enumerate(spec.gradient_checkpointing):
        key = ("model", "gradient_checkpointing", place)
        for name in _matching(pattern, modules, key):
            _recompute(modules[name])
    if spec.sync_batch_norm:
        if device.type == "cpu":
            raise InputError.of(
                "SyncBatchNorm is for GPUs", key=("model", "sync_batch_norm"), valid="false"
            )
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    if spec.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if spec.compile and device.type == "cpu":
        _check_compiler()
    return model


def _short(name: str) -> str:
    """Return a parameter's or module's name as the network has it, without the pipeline's part."""
    return name.removeprefix("net.")


def _matching(pattern: str, names: Iterable[str], key: tuple[str | int, ...]) -> list[str]:
    names = list(names)
    found = [name for name in names if fnmatchcase(name, pattern)]
    if not found:
        raise InputError.of(f"no part of the model is named {pattern!r}", key=key,
                            valid=did_you_mean(pattern, names))  # fmt: skip
    return found


def _check_compiler() -> None:
    # The name that torch's inductor looks for; its own failure is a page long, at the first step.
    name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name) is None:
        raise InputError.of(
            f"torch.compile needs a C++ compiler on the machine that trains; there is no {name}",
            key=("model", "compile"),
            valid="false, or a compiler that CXX names",
        )


def _recompute(module: nn.Module) -> None:
    # The instance's own attribute, so that names in the state dict stay; a partial of the bound
    # method, since a deep copy of the model then has the copy's own.
    module.forward = partial(_checkpointed, module.forward)


def _checkpointed(forward: Callable[..., Any], *inputs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False)
