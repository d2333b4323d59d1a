"""A small Hub on the loopback: the part of its interface that a download of a model asks for."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

COMMIT = "c" * 40


class Hub:
    """Serves one repository.

    Args:
        name: of the repository, ``"org/name"``.
        files: their bytes by their paths.
        revisions: what its commit is called.

    Attributes:
        url: for HF_ENDPOINT.
        asked: the method and path of each request.
        fetched: the path and the range of each file that was sent.
        breaks_after: a file larger than this breaks off there, once.
    """

    def __init__(
        self, name: str, files: Mapping[str, bytes], revisions: tuple[str, ...] = ("main",)
    ) -> None:
        self.name, self.files = name, dict(files)
        self.revisions = (*revisions, COMMIT)
        self.asked: list[tuple[str, str]] = []
        self.fetched: list[tuple[str, str | None]] = []
        self.breaks_after: int | None = None
        self.url = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[Hub]:
        """The Hub, until the end of the block."""
        hub = self

        class Handler(_Handler):
            of = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def info(self) -> bytes:
        siblings = [{"rfilename": path} for path in self.files]
        return json.dumps(
            {"_id": "1", "id": self.name, "sha": COMMIT, "siblings": siblings, "private": False}
        ).encode()

    def tree(self) -> bytes:
        rows = [
            {
                "type": "file",
                "oid": hashlib.sha1(data).hexdigest(),
                "size": len(data),
                "path": path,
            }
            for path, data in self.files.items()
        ]
        return json.dumps(rows).encode()


class _Handler(BaseHTTPRequestHandler):
    of: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        path = unquote(self.path.partition("?")[0])
        self.of.asked.append((self.command, path))
        api = f"/api/models/{self.of.name}"
        if path == api:
            return self._send(self.of.info(), send=send)
        for kind, body in (("revision", self.of.info), ("tree", self.of.tree)):
            if path.startswith(f"{api}/{kind}/"):
                revision = path.removeprefix(f"{api}/{kind}/").removesuffix("/")
                if revision in self.of.revisions:
                    return self._send(body(), send=send)
                return self._refuse("RevisionNotFound", send=send)
        start = f"/{self.of.name}/resolve/"
        if not path.startswith(start):
            return self._refuse("RepoNotFound", send=send)
        revision, _, file = path.removeprefix(start).partition("/")
        if revision not in self.of.revisions:
            return self._refuse("RevisionNotFound", send=send)
        if file not in self.of.files:
            return self._refuse("EntryNotFound", send=send)
        data = self.of.files[file]
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        asked = self.headers.get("Range")
        begin = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if send:
            self.of.fetched.append((file, asked))
        return self._send(data, send=send, begin=begin, headers=headers)

    def _refuse(self, code: str, *, send: bool) -> None:
        self._send(b"{}", send=send, status=404, headers={"X-Error-Code": code})

    def _send(
        self,
        data: bytes,
        *,
        send: bool,
        status: int = 200,
        begin: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        body = data[begin:]
        self.send_response(206 if begin else status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not send:
            return
        limit = self.of.breaks_after
        if limit is not None and len(body) > limit:
            self.of.breaks_after = None
            self.wfile.write(body[:limit])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(body)
