"""The model that a job leaves: a graph anyone can load, its weights, and what they mean."""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from heliostat.training.state_files import split_state
from heliostat.training.storage import write_bytes, write_json
from heliostat.vision.export import export

GRAPH = "model.pt2"


def export_model(
    folder: Path,
    model: nn.Module,
    predictor: nn.Module,
    example: Tensor,
    *,
    classes: tuple[str, ...],
    source: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    exportable: bool = True,
) -> str | None:
    """Write `model.pt2`, `weights.safetensors`, `example.npy` and `model.json` into `folder`.

    `predictor` is `model` with what users want out of it; `example` is two raw inputs (2, …).
    Where torch cannot export it with a free batch dimension, or is not to try, the reason is
    returned, there is no `model.pt2`, and `source` (callable, args, offered, code) says how to
    build the model from code; without a `source` that is a ValueError, and the folder is removed.
    `facts` go into `model.json` too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    predictor = predictor.to("cpu").to(memory_format=torch.contiguous_format).eval()
    example = example.to("cpu")
    with torch.no_grad():
        output = predictor(example)
    weights = {
        name: value
        for name, value in split_state(model.state_dict())[0].items()
        if not name.endswith(_EXTRA_STATE)
    }
    save_file(weights, folder / "weights.safetensors")
    np.save(folder / "example.npy", example.numpy())
    if exportable:
        reason = _export_graph(folder / GRAPH, predictor, example)
    else:
        reason = "its outputs are no tensors"
    if reason is not None and source is None:
        shutil.rmtree(folder)
        raise ValueError(reason)
    write_json(
        folder / "model.json",
        {
            "classes": list(classes),
            "input": _tensor_facts(example),
            "output": _tensor_facts(output) if isinstance(output, Tensor) else None,
            "example": "example.npy",
            **(source or {}),
            **(facts or {}),
        },
    )
    return reason


# What modules keep beside parameters and buffers (a pool of images) is for training alone.
_EXTRA_STATE = "_extra_state"


def _export_graph(path: Path, predictor: nn.Module, example: Tensor) -> str | None:
    try:
        program = export(predictor, example)
    except ValueError as refusal:
        return str(refusal)
    # Written to a full disk by torch itself, it would end the process: its zip writer aborts.
    graph = BytesIO()
    torch.export.save(program, graph)
    write_bytes(path, graph.getvalue())
    return None


def _tensor_facts(value: Tensor) -> dict[str, Any]:
    return {"shape": [-1, *value.shape[1:]], "dtype": str(value.dtype).removeprefix("torch.")}
