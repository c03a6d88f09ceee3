"""What runs in a Ray Train worker: it makes the context and trains."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heliostat.runtime import ahead, environment
from heliostat.runtime.leaving import noticed
from heliostat.runtime.model_files import with_models_here
from heliostat.runtime.node import Place, place_of
from heliostat.runtime.stop_sign import Sign
from heliostat.training.storage_away import StorageAway

if TYPE_CHECKING:
    import torch
    from torch.distributed import Store  # type: ignore[attr-defined]

    from heliostat.spec import EntrypointSpec, TrainSpec
    from heliostat.training.context import Context
    from heliostat.training.reporter import Reporter


class TrainingFailed(RuntimeError):
    """A rank failed. What and why stands in the job's journal."""


def train_worker(config: dict[str, Any]) -> None:
    """Work as one rank of a group of Ray Train's; `config` as for `work_as`."""
    import ray.train

    ranks = ray.train.get_context()
    node = ray.get_runtime_context().get_node_id()
    work_as(
        config,
        rank=ranks.get_world_rank(),
        local_rank=ranks.get_local_rank(),
        world_size=ranks.get_world_size(),
        node=node,
    )


def work_as(
    config: dict[str, Any],
    *,
    rank: int = 0,
    local_rank: int = 0,
    world_size: int = 1,
    node: str | None = None,
) -> None:
    """Train as one rank; `config` holds the job's folder, the attempt, the spec and the code.

    Where the rank writes is `place_of`'s to say, and where the spec's registered models are
    `with_models_here`'s, from the config's `models`. Its `work` is "train", or what a search does
    of a trial: "leg" (and `until`, an epoch) or "finish" (and `trial`, its folder). It is told to
    stop by the file that `stop` names, else by the sign for its `group`. `node` is Ray's id of the
    node that this is. Raises TrainingFailed; what failed stands in the journal. Raises what
    `place_of` does.
    """
    began = time.monotonic()
    spec = _spec(config)
    with place_of(config, rank=rank) as place:
        _write_output_to(place.log)
        if "package" in config:
            ahead.bring(config["package"])
        make_importable(config["code"])
        _work({**config, "began": began}, spec, place, rank, local_rank, world_size, node)


def _spec(config: dict[str, Any]) -> TrainSpec | EntrypointSpec:
    """Return the spec as it is for this machine, whose environment it has then."""
    from heliostat import spec as specs

    spec = specs.parse(config["spec"])
    assert isinstance(spec, specs.TrainSpec | specs.EntrypointSpec)
    environment.apply(spec.env)  # in which credentials for the storage may be
    if "models" in config:
        spec = specs.parse(with_models_here(config["spec"], config["models"]))
        assert isinstance(spec, specs.TrainSpec | specs.EntrypointSpec)
    return spec


def _work(
    config: dict[str, Any],
    spec: TrainSpec | EntrypointSpec,
    place: Place,
    rank: int,
    local_rank: int,
    world_size: int,
    node: str | None,
) -> None:
    # Deferred: the driver and Ray Train's controller load this module without torch.
    import torch.distributed as dist

    from heliostat.training.context import Context, choose_device
    from heliostat.training.distributed import barrier
    from heliostat.training.goodput import Stopwatch
    from heliostat.training.stopping import Stopped

    device = choose_device(local_rank, gpus=spec.resources.gpus_per_worker)
    store = _meet(rank, world_size, device) if world_size > 1 else None
    reporter = place.reporter(attempt=config["attempt"], rank=rank)
    if node is not None:
        reporter.event("placed", node=node, host=socket.gethostname(), pid=os.getpid())
    signed = rank == 0 and "group" in config and "stop" not in config
    sign = Sign(config["group"]) if signed else None
    stop = (place.stop or _told(config, sign)) if rank == 0 else None
    context = Context(
        folder=place.folder,
        reporter=reporter,
        rank=rank,
        world_size=world_size,
        device=device,
        attempt=config["attempt"],
        stop=stop,
        preempted=sign.preempted if sign is not None else None,
        store=store,
        mirror=place.mirror,
        stopwatch=Stopwatch(began=config["began"]),
    )
    with _leaving(config, reporter, local_rank, node):
        try:
            _do(config, spec, context, place.trial)
        except Stopped:
            # Ray Train ends all ranks when it hears of one that failed: each has its last word
            # first.
            place.close()
            barrier()
            raise TrainingFailed(f"rank {rank} was told to stop") from None
        except StorageAway:
            raise  # where the journal could not be written, nothing else says why
        except BaseException as error:
            # The user's exception may not survive pickling, and the journal has its traceback.
            raise TrainingFailed(f"rank {rank}: {type(error).__name__}") from None
    if world_size > 1:
        dist.destroy_process_group()


def _meet(rank: int, world_size: int, device: torch.device) -> Store:
    """Join the process group of all ranks; return a store that they share."""
    from torch.distributed import (  # type: ignore[attr-defined]  # public all the same
        PrefixStore,
        TCPStore,
        init_process_group,
    )

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    listening = None
    if rank == 0 and host == _LOOPBACK:
        # By itself the store, which asks for no password, listens on every interface.
        listening = socket.create_server((host, port)).detach()
    store = TCPStore(
        host,
        port,
        world_size,
        is_master=rank == 0,
        timeout=_PATIENCE,
        master_listen_fd=listening,
    )
    backend = "nccl" if device.type == "cuda" else "gloo"
    group = PrefixStore("group", store)
    init_process_group(backend, store=group, rank=rank, world_size=world_size)
    return PrefixStore("heliostat", store)


_LOOPBACK = "127.0.0.1"
_PATIENCE = timedelta(minutes=30)
"""torch's own for a group of processes; what it has for a store alone is shorter."""


def _told(config: dict[str, Any], sign: Sign | None) -> Callable[[], bool] | None:
    """Return what says whether the group is told to stop."""
    if "stop" in config:
        return Path(config["stop"]).exists
    return None if sign is None else sign.seen


def _leaving(
    config: dict[str, Any], reporter: Reporter, local_rank: int, node: str | None
) -> AbstractContextManager[None]:
    """Return what tells the group if this rank is to go; nothing for a leg of a search."""
    if config["work"] != "train" or "group" not in config:
        return nullcontext()
    # An embedded Ray is one machine, which no cluster takes back.
    watched = node if local_rank == 0 and config["cluster"] else None
    return noticed(config["group"], reporter, node=watched, grace=config["grace"])


def _do(
    config: dict[str, Any],
    spec: TrainSpec | EntrypointSpec,
    context: Context,
    trial: Path | None,
) -> None:
    from heliostat.training.process import train
    from heliostat.training.trial_process import run_finish, run_leg

    code = Path(config["code"])
    match config["work"]:
        case "train":
            train(spec, context, code=code)
        case "leg":
            run_leg(spec, context, until=config["until"])
        case "finish":
            run_finish(spec, context, trial=trial or Path(config["trial"]), code=code)


def make_importable(code: str) -> None:
    """Put the spec's folder first on the import path, and keep bytecode out of it."""
    if code not in sys.path:
        sys.path.insert(0, code)


def _write_output_to(log: Path) -> None:
    """Send this process's output to the job's folder: the user's prints, torch's warnings."""
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = open(log, "a", buffering=1, encoding="utf-8")  # noqa: SIM115  (for good)
    for descriptor in (1, 2):
        os.dup2(stream.fileno(), descriptor)
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, level=logging.INFO, force=True)
