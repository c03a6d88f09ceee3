"""A proxy before an HTTP server, which can be made to answer badly, and counts how often it did."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

Mood = Literal["through", "error", "late", "gone"]

_OWN = ("connection", "transfer-encoding", "content-length", "date", "server")


@dataclass
class Proxy:
    """Set `mood` at any time: pass requests on, answer 500, pass them on late, or hang up."""

    upstream: str
    late_seconds: float = 60.0
    mood: Mood = "through"
    spoilt: int = 0
    """Requests that were not simply passed on."""
    uri: str = ""
    calm: threading.Event = field(default_factory=threading.Event)
    """Set at the end, when nobody is kept waiting any more."""
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def unruly_proxy(upstream: str, *, late_seconds: float = 60.0) -> Iterator[Proxy]:
    """Serve a proxy before `upstream` on a free port of this machine."""
    proxy = Proxy(upstream, late_seconds)
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        proxy.uri = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.calm.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mood = self.proxy.mood
        if mood != "through":
            with self.proxy.lock:
                self.proxy.spoilt += 1
        if mood == "late":
            self.proxy.calm.wait(self.proxy.late_seconds)
        try:
            if mood == "gone":
                self.close_connection = True
            elif mood == "error":
                self._reply(500, [], b"out of order")
            else:
                self._pass_on(body)
        except OSError:  # whoever asked has gone, or the server has
            self.close_connection = True

    def _pass_on(self, body: bytes) -> None:
        place = urlsplit(self.proxy.upstream)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _OWN}
            headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body=body, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            self._reply(answer.status, answer.getheaders(), content)
        finally:
            connection.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        length = str(len(body))
        for name, value in headers:
            if name.lower() not in _OWN:
                self.send_header(name, value)
            elif name.lower() == "content-length" and self.command == "HEAD":
                length = value
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
