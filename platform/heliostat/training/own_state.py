"""What a model holds beside parameters and buffers: the extra state of its modules.

That is torch's own hook for it (`get_extra_state`), and each rank's is its own: nothing keeps the
ranks' equal, as DDP does for the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.module import _EXTRA_STATE_KEY_SUFFIX

from heliostat.training.state_files import join_state, split_state


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of the model's state dict."""
    return {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}


def load_weights(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load what `weights_of` gave; an extra state that is no tensor stays as it is."""
    extra = {
        name: value
        for name, value in model.state_dict().items()
        if name.endswith(_EXTRA_STATE_KEY_SUFFIX) and not isinstance(value, Tensor)
    }
    model.load_state_dict({**extra, **weights})


def own_states(model: nn.Module) -> list[dict[str, Any]]:
    """Return every rank's extra states by the module's name, on rank 0; none elsewhere.

    An empty list where no module has any. A collective.
    """
    own = {name: module.get_extra_state() for name, module in _with_own(model).items()}
    if not own or not dist.is_initialized():
        return [own] if own else []
    main = dist.get_rank() == 0
    gathered: list[Any] = [None] * dist.get_world_size()
    # On the CPU, whatever the device, and copied: the loop goes on.
    dist.gather_object(split_state(own), gathered if main else None, dst=0)
    return [join_state(*parts) for parts in gathered] if main else []


def load_own(model: nn.Module, states: list[dict[str, Any]], rank: int) -> None:
    """Give the modules this rank's extra states; more ranks than there were begin with others'."""
    if states:
        own = states[rank % len(states)]
        for name, module in _with_own(model).items():
            module.set_extra_state(own[name])


def _with_own(model: nn.Module) -> dict[str, nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if type(module).get_extra_state is not nn.Module.get_extra_state
    }
