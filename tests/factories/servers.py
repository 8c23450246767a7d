"""A web server on this machine for the files of a folder, with the faults that a test asks for."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Server:
    """What is served, how it fails, and what was requested."""

    folder: Path
    address: str = ""
    ranges: bool = True
    busy: dict[str, int] = field(default_factory=dict)  # path → answers of "503" before the file
    breaks: dict[str, int] = field(default_factory=dict)  # path → answers that end in the middle
    forbidden: bool = False
    requests: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    """Serve a folder at `address` until the block ends."""
    server = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, server)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def answer(request: BaseHTTPRequestHandler, server: Server) -> None:
    """One request: the file from where it is wanted, or the fault that is due."""
    name = request.path.lstrip("/")
    server.requests[name] += 1
    path = server.folder / name
    if server.forbidden or not path.is_file():
        request.send_error(403 if server.forbidden else 404)
        return
    if server.busy.get(name, 0) > 0:
        server.busy[name] -= 1
        request.send_error(503)
        return
    content = path.read_bytes()
    wanted = request.headers.get("Range", "") if server.ranges else ""
    start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
    request.send_response(206 if wanted else 200)
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    rest = content[start:]
    if server.breaks.get(name, 0) > 0:
        server.breaks[name] -= 1
        rest = rest[: len(rest) // 2]
        request.close_connection = True
    request.wfile.write(rest)
