"""One rank on a machine of its own, without Ray: only the process group is arranged here.

    HELIO_HOME=… MASTER_ADDR=127.0.0.1 MASTER_PORT=… python machine.py CONFIG RANK WORLD_SIZE

CONFIG is a file with the JSON of `work_as`'s config.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_machines(folder: Path, config: dict[str, Any], *, world_size: int = 2) -> list[int]:
    """Work as each rank with a HELIO_HOME of its own in `folder`; return the exit statuses."""
    (folder / "config.json").write_text(json.dumps(config))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, str(folder / "config.json"), str(rank), str(world_size)],
            env={
                **os.environ,
                "HELIO_HOME": str(folder / f"home-{rank}"),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "GLOO_SOCKET_IFNAME": "lo",
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        for rank in range(world_size)
    ]
    return [process.wait(timeout=300) for process in processes]


def main() -> None:
    """Work as the rank that the command line names."""
    import torch

    from heliostat.runtime.worker import work_as

    torch.set_num_threads(1)
    config, rank, world_size = sys.argv[1:]
    work_as(json.loads(Path(config).read_text()), rank=int(rank), world_size=int(world_size))


if __name__ == "__main__":
    main()
