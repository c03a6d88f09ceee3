"""A real Redis of the tests' own (Debian package `redis-server`), where Ray's head keeps state."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from ports import free_port
from waiting import wait_until


class Redis(NamedTuple):
    """A running server; it keeps everything in memory."""

    host: str
    port: int
    password: str

    @property
    def env(self) -> dict[str, str]:
        """What tells a Ray head to keep its state there."""
        return {
            "RAY_REDIS_ADDRESS": f"{self.host}:{self.port}",
            "RAY_REDIS_PASSWORD": self.password,
        }

    def ask(self, command: str) -> str:
        """Return the first line of the answer to a command, in Redis's own protocol."""
        with socket.create_connection((self.host, self.port), timeout=5) as line:
            line.sendall(f"AUTH {self.password}\r\n{command}\r\n".encode())
            with line.makefile("r", newline="\r\n") as answers:
                answers.readline()
                return answers.readline().strip()


@contextmanager
def redis_server(at: str = "127.0.0.1") -> Iterator[Redis]:
    """Run a server on a free port of the address `at`; skips the test where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server, which is not installed")
    server = Redis(at, free_port(at), secrets.token_hex(16))
    settings = [f"bind {server.host}", f"port {server.port}", f"requirepass {server.password}"]
    settings += ['save ""', "appendonly no"]
    with subprocess.Popen(
        ["setpriv", "--pdeathsig=TERM", program, "-"],  # the password is for its standard input
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin
        process.stdin.write("\n".join([*settings, ""]))
        process.stdin.close()
        try:
            wait_until(lambda: _ready(server), 20, lambda: f"{program} answers")
            yield server
        finally:
            process.terminate()


def _ready(server: Redis) -> bool:
    try:
        return server.ask("PING") == "+PONG"
    except OSError:
        return False
