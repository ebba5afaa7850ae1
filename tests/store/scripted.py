"""An HTTP server that answers as a test says and keeps what it was asked, for what no real server does at will."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    """The client's end of the connection."""


@dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    truncate: bool = False
    """Hang up in the middle of the body."""


def error(status: int, code: str, message: str = "told by the test", extra: str = "") -> Answer:
    """An S3 error document."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>REQ1</RequestId>{extra}</Error>"
    return Answer(status, {"Content-Type": "application/xml"}, body.encode())


def listing(*keys: str) -> Answer:
    """A ListObjectsV2 answer with ten-byte objects."""
    entry = (
        "<Contents><Key>{}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        "<ETag>&quot;e&quot;</ETag><Size>10</Size></Contents>"
    )
    entries = "".join(map(entry.format, keys))
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    return Answer(200, {"Content-Type": "application/xml"}, body.encode())


OBJECT = {"ETag": '"e"', "Last-Modified": "Fri, 02 Jan 2026 03:04:05 GMT"}


class Scripted:
    """Where the server is and what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[Asked] = []

    def count(self, method: str) -> int:
        return sum(asked.method == method for asked in self.asked)


@contextlib.contextmanager
def serve(answer: Callable[[Asked], Answer], *, tls: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Run the server while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body, self.client_address[1])
            scripted.asked.append(asked)
            told = answer(asked)
            self.send_response_only(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name in told.headers):
                self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(told.body[: len(told.body) // 2] if told.truncate else told.body)
            if told.truncate:
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients hang up as they like

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scripted = Scripted(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
