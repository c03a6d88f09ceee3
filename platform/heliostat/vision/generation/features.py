"""Features of images: what goes into the last linear layer of a classifier that was exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from heliostat.vision.mistakes import WrongValue

# Where a node's arguments hold the layer's input.
_LINEAR = {torch.ops.aten.linear.default: 0, torch.ops.aten.addmm.default: 1}


class Features:
    """A classifier's program, a heliostat job's `model.pt2` for example.

    Raises WrongValue for a file that is no program of one tensor, or has no linear layer.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._program = _load(path)
        self._device = torch.device("cpu")
        self._module, self.width, self.outputs = _both(path, self._program)

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise WrongValue where the classifier doesn't take uint8 images of `shape` (C, H, W)."""
        expected = _input(self._path, self._program)
        if expected.dtype != torch.uint8 or tuple(expected.shape[1:]) != shape:
            wants = f"{str(expected.dtype).removeprefix('torch.')} of {_by(expected.shape[1:])}"
            raise WrongValue(
                f"features: the classifier {self._path} takes {wants}, and the data's images are"
                f" uint8 of {_by(shape)}; a classifier of such images is needed"
            )

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, float32 (n, width), and what the classifier gives, (n, outputs)."""
        if images.device != self._device:
            self._program = move_to_device_pass(self._program, images.device)
            self._module, _, _ = _both(self._path, self._program)
            self._device = images.device
        # Distances should not depend on the precision in which the generator is trained.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            features, outputs = self._module(images)
        return features.float(), outputs


def _load(path: str) -> ExportedProgram:
    if not Path(path).is_file():
        raise WrongValue(
            f"features: there is no file {path}; valid: a classifier's model.pt2,"
            f" or models:/name@alias"
        )
    try:
        return torch.export.load(path)
    except Exception as refusal:  # torch documents no common base of what loading raises
        reason = (str(refusal).splitlines() or [type(refusal).__name__])[0]
        raise WrongValue(f"features: {path} is no exported program: {reason}") from refusal


def _both(path: str, program: ExportedProgram) -> tuple[fx.GraphModule, int, int]:
    """Return the program as a module of (features, outputs), and the widths of both."""
    module = program.module(check_guards=False)
    linear = [node for node in module.graph.nodes if node.target in _LINEAR]
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    given: Any = graph.graph_copy(module.graph, copies)
    outputs = given[0] if isinstance(given, tuple | list) and len(given) == 1 else given
    if not linear or not isinstance(outputs, fx.Node) or outputs.meta["val"].ndim != 2:
        raise WrongValue(
            f"features: {path} is not a classifier with a linear layer at its end,"
            f" which gives a row of numbers for an image"
        )
    features = copies[linear[-1].args[_LINEAR[linear[-1].target]]]
    graph.output((features, outputs))
    width, count = (int(node.meta["val"].shape[-1]) for node in (features, outputs))
    return fx.GraphModule(module, graph), width, count


def _input(path: str, program: ExportedProgram) -> Any:
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.name in names]
    if len(nodes) != 1:
        raise WrongValue(f"features: {path} takes {len(nodes)} inputs, not one")
    return nodes[0].meta["val"]


def _by(shape: Any) -> str:
    return "×".join(map(str, shape))
