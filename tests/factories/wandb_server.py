"""A server that W&B takes for its own, with the faults that a test asks for after some requests."""

import contextlib
import gzip
import json
import re
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextlib.contextmanager
def serve_wandb(fault: str = "", after: int = 0) -> Iterator[str]:
    """Yield the address of a server.

    Args:
        fault: "reset", "hang" or an HTTP code.
        after: how many requests are answered before.
    """
    ended = threading.Event()
    counted = iter(range(10**9))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if fault and next(counted) >= after:
                self.fail()
            elif self.path == "/graphql":
                content = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                self.answer(200, {"data": data_of(json.loads(content), f"http://{self.headers['Host']}")})
            else:
                self.answer(200, {})

        do_GET = do_POST = do_PUT = handle_request  # noqa: N815 (names of the library)

        def fail(self) -> None:
            if fault == "hang":
                ended.wait()
            elif fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.answer(int(fault), {})
                return
            self.connection.close()
            self.close_connection = True

        def answer(self, code: int, content: Mapping[str, Any]) -> None:
            text = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:  # a client that is gone
            pass

    with Server(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            ended.set()
            http.shutdown()
            thread.join()


def data_of(request: Mapping[str, Any], address: str) -> dict[str, Any]:
    """Return what the server answers to a request in GraphQL: of a user without teams, to whom all is new."""
    name, values = re.search(r"(?:query|mutation)\s+(\w+)", request["query"]), request.get("variables") or {}
    entity = {"id": "e", "name": "me"}
    match name and name[1]:
        case "Viewer":
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        case "UpsertBucket":
            project = {"id": "p", "name": values.get("project") or "synthaug", "entity": entity}
            bucket = {"id": "b", "name": values.get("name") or "run", "historyLineCount": 0, "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        case "RunResumeStatus":
            return {"model": {"id": "p", "name": "synthaug", "entity": entity, "bucket": None}}
        case "ArtifactType":
            return {"project": None}
        case "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{address}/upload"} for file in values["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        case "CreateArtifact":
            sequence = {"id": "s", "latestArtifact": {"id": "a", "versionIndex": 0}}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        case "UseArtifact":
            return {"useArtifact": {"artifact": {"id": "a"}}}
    return {}
