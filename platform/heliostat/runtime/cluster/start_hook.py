"""What `ray start` has no option for; Ray calls it by the name in RAY_START_HOOK."""

from __future__ import annotations

import os
from typing import Any

NAME = f"{__name__}.adjust"


def adjust(params: Any, head: bool) -> None:
    """Change the parameters (ray._private.parameter.RayParams) of the node that is to start.

    The server for Ray Client (`ray://…`) would be one more open door, and a process, that nothing
    here uses. The password of Redis is taken from RAY_REDIS_PASSWORD, as its address is from
    RAY_REDIS_ADDRESS.
    """
    params.ray_client_server_port = None
    if password := os.environ.get("RAY_REDIS_PASSWORD"):
        params.redis_password = password
