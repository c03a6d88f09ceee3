"""Free ports."""

from __future__ import annotations

import socket


def free_port(at: str = "127.0.0.1") -> int:
    """Return a port of the address `at` where nobody listens now."""
    with socket.socket() as probe:
        probe.bind((at, 0))
        return int(probe.getsockname()[1])


def answers(host: str, port: int) -> bool:
    """Whether anybody listens there."""
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True
