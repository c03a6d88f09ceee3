"""A TCP line to a server, which a test cuts and mends, and which tells what was asked over it."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from threading import Lock, Thread
from types import TracebackType
from typing import NamedTuple, Self

Address = tuple[str, int]


class Asked(NamedTuple):
    """An HTTP request that went over the line."""

    client: str
    """The client's IP address."""
    method: str
    path: str


class Line:
    """Listens at `address` and passes on to `server` whatever comes, until it is cut or closed."""

    def __init__(self, server: Address, at: str = "127.0.0.1") -> None:
        """Listen on a free port of the address `at`."""
        self._server = server
        self._lock = Lock()
        self._ends: set[socket.socket] = set()
        self._threads: list[Thread] = []
        self._listener = self._listen((at, 0))
        self.address: Address = self._listener.getsockname()
        self.asked: list[Asked] = []
        """All HTTP requests so far, as far as they came unencrypted."""

    @property
    def url(self) -> str:
        """The line's near end, for clients of HTTP."""
        host, port = self.address
        return f"http://{host}:{port}"

    def cut(self) -> None:
        """Break all connections; new ones are refused."""
        with self._lock:
            # Closing alone would not wake the threads that wait there.
            for end in (self._listener, *self._ends):
                _shut(end)
            self._listener.close()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def mend(self) -> None:
        """Listen again, where it did before."""
        self._listener = self._listen(self.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()

    def _listen(self, at: Address) -> socket.socket:
        listener = socket.create_server(at, backlog=128)
        self._start(self._accept, listener)
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, (peer, _) = listener.accept()
            except OSError:  # it is cut
                return
            self._start(self._connect, client, peer)

    def _connect(self, client: socket.socket, peer: str) -> None:
        with client:
            try:
                server = socket.create_connection(self._server, timeout=10)
            except OSError:
                return
            with server:
                server.settimeout(None)
                with self._lock:
                    if self._listener.fileno() < 0:  # cut meanwhile
                        return
                    self._ends |= {client, server}
                back = Thread(target=_pump, args=(server, client))
                back.start()
                _pump(client, server, lambda chunk: self._note(peer, chunk))
                back.join()
                with self._lock:
                    self._ends -= {client, server}

    def _note(self, peer: str, chunk: bytes) -> None:
        # Clients begin a request with a packet of its own.
        if found := _REQUEST.match(chunk):
            self.asked.append(Asked(peer, found[1].decode(), found[2].decode()))

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()


_REQUEST = re.compile(rb"([A-Z]+) (\S+) HTTP/1\.[01]\r\n")


def _pump(
    source: socket.socket, sink: socket.socket, tell: Callable[[bytes], None] = lambda chunk: None
) -> None:
    try:
        while chunk := source.recv(1 << 16):
            tell(chunk)
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one of the ends is gone, and then so is the other
        _shut(source)
        _shut(sink)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is already
