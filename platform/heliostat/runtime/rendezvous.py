"""Where the ranks of a process group meet, arranged by Ray Train without importing torch.

Ray's own `TorchConfig` imports torch in the driver and in the controller, which costs seconds
before a worker is even asked for. This tells the workers the address and leaves torch to them.
"""

from __future__ import annotations

import os
import socket

import psutil
import ray
from ray.train._internal.base_worker_group import BaseWorkerGroup
from ray.train.backend import Backend, BackendConfig

from heliostat.runtime.leaving import take_over_sigterm


class TorchRendezvous(BackendConfig):
    """Sets MASTER_ADDR and MASTER_PORT on every worker."""

    @property
    def backend_cls(self) -> type[Backend]:
        """Ray Train's name for what runs beside the worker group."""
        return _RendezvousBackend


class _RendezvousBackend(Backend):
    def on_start(self, worker_group: BaseWorkerGroup, backend_config: BackendConfig) -> None:
        """Choose rank 0's address before the training function starts."""
        address, port = worker_group.execute_single(0, _free_address)
        single_node = len(set(worker_group.execute(_node_ip))) == 1
        worker_group.execute(_set_rendezvous, address, port, single_node)


def _node_ip() -> str:
    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def _free_address() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return _node_ip(), int(probe.getsockname()[1])


def _set_rendezvous(address: str, port: int, single_node: bool) -> None:
    take_over_sigterm()  # here, since this is called in the main thread
    os.environ["MASTER_ADDR"] = "127.0.0.1" if single_node else address
    os.environ["MASTER_PORT"] = str(port)
    # Gloo would listen on the host name's address. Debian takes that for one of loopback, where no
    # other node can connect; and between processes of one node nothing needs to be reachable.
    interface = "lo" if single_node else _interface(_node_ip())
    if interface:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)


def _interface(address: str) -> str | None:
    """Return the name of this node's network interface with the address, if it has one."""
    for name, addresses in psutil.net_if_addrs().items():
        if address in (known.address for known in addresses):
            return name
    return None
