"""From a module to a program that runs without its source, at any batch size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.parameter import is_lazy


def export(module: nn.Module, example: Tensor) -> ExportedProgram:
    """Return the module's program in eval mode, with a free batch dimension.

    `example` is (n, …) with n at least 2, since a batch of 1 is always frozen into the program.
    Raises ValueError where the module doesn't export, or only for one batch size.
    """
    if len(example) < 2:
        raise ValueError("an example of at least 2 samples is needed to free the batch dimension")
    with evaluating(module), torch.no_grad():
        try:
            program = torch.export.export(
                module, (example,), dynamic_shapes=({0: Dim("batch")},), strict=False
            )
        except Exception as refusal:  # torch documents no common base of what tracing raises
            raise ValueError(f"the model doesn't export: {_first_line(refusal)}") from refusal
        _check_batches(program, example)
    return program


def initialise_lazy(module: nn.Module, example: Any) -> None:
    """Give lazy modules their shapes with one forward of `example`, if there are any.

    DDP cannot wrap a parameter that has no shape yet. Eval mode: no running statistics move.
    """
    if any(is_lazy(tensor) for tensor in chain(module.parameters(), module.buffers())):
        with evaluating(module), torch.no_grad():
            module(example)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Set eval mode, and afterwards each submodule's own mode (some may be frozen) again."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _check_batches(program: ExportedProgram, example: Tensor) -> None:
    """Run batches of 1 and 7: a size that tracing froze shows only when another is given."""
    run = program.module()
    for size in (1, 7):
        batch = example[:1].expand(size, *example.shape[1:])
        try:
            output = run(batch)
        except Exception as refusal:  # guards and operators raise errors of many types
            raise ValueError(
                f"the exported program doesn't take a batch of {size}: {_first_line(refusal)}"
            ) from refusal
        if isinstance(output, Tensor) and len(output) != size:
            raise ValueError(f"the exported program gives {len(output)} rows for a batch of {size}")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
