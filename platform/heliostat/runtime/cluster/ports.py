"""Whether an address and a port are to be had, and who has the port if not."""

from __future__ import annotations

import errno
import socket

import psutil

from heliostat.spec import InputError

LOOPBACK = "127.0.0.1"


def check_address(host: str) -> None:
    """Raise InputError where `host` is not an IP address of this machine."""
    try:
        _bind(host, 0)
    except OSError as error:
        raise InputError.of(
            f"{host!r} is not an IP address of this machine ({error.strerror or error})",
            valid=f"--listen with one of {', '.join(_addresses())}",
        ) from None


def check_free(host: str, port: int, *, what: str, option: str) -> None:
    """Raise InputError where `what` can't listen at `host`:`port`; it names who does."""
    try:
        _bind(host, port)
    except OSError as error:
        why = error.strerror
        if error.errno == errno.EADDRINUSE:
            why = f"{_holder(port) or 'somebody else'} does"
        raise InputError.of(
            f"{what} can't listen at {host}:{port}: {why}", valid=f"another {option}"
        ) from None


def url_host(host: str) -> str:
    """Return an IP address as it stands before a port."""
    return f"[{host}]" if ":" in host else host


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # A port that was in use a moment ago is free for a server all the same.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def _holder(port: int) -> str | None:
    """Return the name and pid of the process that listens at the port, as far as one may know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.laddr.port == port:
            if connection.pid is None:
                return "a process of another user"
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None


def _addresses() -> list[str]:
    return sorted(
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET
    )
