"""A nested state (dicts, lists, tensors, plain values) ↔ one safetensors file and one JSON value.

No pickle is involved in either direction, so a checkpoint from anywhere is safe to read.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_TENSOR = "__tensor__"
_TUPLE = "__tuple__"
_INT_KEYS = "__int_keys__"


def split_state(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Return (tensors by path, copied to the CPU; the rest, as a JSON-able value).

    Raises TypeError for a value that is neither a tensor nor JSON.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _strip(state, (), tensors)


def join_state(tensors: dict[str, Tensor], rest: Any) -> Any:
    """Return the nested state that `split_state` took apart."""
    if isinstance(rest, list):
        return [join_state(tensors, value) for value in rest]
    if not isinstance(rest, dict):
        return rest
    if _TENSOR in rest:
        return tensors[rest[_TENSOR]]
    if _TUPLE in rest:
        return tuple(join_state(tensors, value) for value in rest[_TUPLE])
    if _INT_KEYS in rest:
        return {int(k): join_state(tensors, v) for k, v in rest[_INT_KEYS].items()}
    return {key: join_state(tensors, value) for key, value in rest.items()}


def _strip(value: Any, path: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = ".".join(path) or "value"
        while name in tensors:  # {"a.b": …, "a": {"b": …}}: a path that is spelt like another
            name += "'"
        # A clone of its own, since safetensors refuses tensors that share memory (tied weights),
        # and since training goes on while the file is written.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {_TENSOR: name}
    if isinstance(value, dict):
        stripped = {str(k): _strip(v, (*path, str(k)), tensors) for k, v in value.items()}
        # An optimizer's state is keyed by parameter number, and JSON has string keys only.
        if stripped and all(isinstance(key, int) for key in value):
            return {_INT_KEYS: stripped}
        return stripped
    if isinstance(value, list | tuple):
        items = [_strip(v, (*path, str(i)), tensors) for i, v in enumerate(value)]
        # An optimizer may take its settings as tuples only, and JSON has lists only.
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"a checkpoint holds tensors and plain values; {'.'.join(path)} is a {type(value).__name__}"
    )


def all_finite(tensors: dict[str, Tensor]) -> bool:
    """Return whether no floating-point tensor holds a NaN or an infinity."""
    return all(
        # Both ends are NaN where any number is. In one pass: `isfinite` takes eight times as long.
        bool(torch.isfinite(torch.stack(torch.aminmax(tensor))).all())
        for tensor in tensors.values()
        if tensor.is_floating_point() and tensor.numel()
    )
