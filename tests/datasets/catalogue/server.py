"""A small web server that behaves as badly as it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpifl.datasets.catalogue.catalogue import Download
from mpifl.datasets.catalogue.download import fetch

CONTENT = np.random.default_rng(7).bytes(50_000)
OTHER = np.random.default_rng(8).bytes(50_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server has at every path, and how it answers. ``asked`` are the headers of the requests so far.

    ``cuts``: after how many bytes the connection ends, a number a request; then no more. ``statuses``: answered before anything
    else, one a request. ``stops``: after how many bytes nothing more comes before ``goes_on`` is set.
    """

    content: bytes = b""
    tag: str | None = '"first"'
    modified: str | None = None
    ranges: bool = True
    length: bool = True
    chunked: bool = False
    shifted: bool = False
    stops: int | None = None
    goes_on: threading.Event = field(default_factory=threading.Event)
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    announced: int | None = None
    certificate: Path | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def from_bytes(self) -> list[int]:
        """Where each request asked to begin."""
        return [int(headers.get("Range", "bytes=0-")[6:-1]) for headers in self.asked]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_GET(self) -> None:
        site = self.site
        if self.path in site.redirects:
            self._headers(302, {"Location": site.redirects[self.path], "Content-Length": "0"})
            return
        site.asked.append(dict(self.headers))
        if site.statuses:
            self._headers(site.statuses.pop(0), {"Content-Length": "0"})
            return
        begin = self._begin()
        if begin >= len(site.content) > 0:
            self._headers(
                416, {"Content-Range": f"bytes */{len(site.content)}", "Content-Length": "0"}
            )
            return
        body = site.content[begin:]
        headers = {"ETag": site.tag, "Last-Modified": site.modified}
        if begin:
            first = begin + 7 if site.shifted else begin
            headers["Content-Range"] = f"bytes {first}-{len(site.content) - 1}/{len(site.content)}"
        if site.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif site.length:
            headers["Content-Length"] = str(len(body) if site.announced is None else site.announced)
        self._headers(206 if begin else 200, headers)
        self._body(body)

    def do_CONNECT(self) -> None:
        """A proxy for any host: what comes through the tunnel is answered here."""
        assert self.site.certificate
        self._headers(200, {})
        self.connection = _tls(self.site.certificate).wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def _begin(self) -> int:
        site, asked = self.site, self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if (
            asked is None
            or not site.ranges
            or (condition is not None and condition not in (site.tag, site.modified))
        ):
            return 0
        return int(asked[len("bytes=") : -1])

    def _headers(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _body(self, body: bytes) -> None:
        site = self.site
        limit = site.cuts.pop(0) if site.cuts else len(body)
        with contextlib.suppress(ConnectionError):
            size = site.stops or 1 << 16
            for start in range(0, min(limit, len(body)), size):
                piece = body[start : min(start + size, limit)]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if site.chunked else piece)
                if site.stops:
                    site.goes_on.wait()
            if site.chunked and limit >= len(body):
                self.wfile.write(b"0\r\n\r\n")
        self.close_connection = limit < len(body) or not (site.length or site.chunked)


def make_certificate(path: Path, name: str) -> None:
    """Write a key and a certificate of its own for ``DNS:host`` or ``IP:address``; skips where there is no openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    subject = ["-subj", "/CN=test", "-addext", f"subjectAltName={name}"]
    use = ["-addext", "keyUsage=digitalSignature,keyCertSign"]  # which Python 3.13 asks for
    line = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        *subject,
        *use,
        "-keyout",
        "-",
        "-out",
        "-",
    ]
    path.write_bytes(subprocess.run(line, check=True, capture_output=True).stdout)


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what the tests are about."""


@contextlib.contextmanager
def serving(site: Site, tls: bool = False) -> Iterator[Site]:
    """The site, up for as long as the block runs; over TLS with the site's certificate."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    if tls:
        assert site.certificate
        server.socket = _tls(site.certificate).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    site.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def get(site: Site, folder: Path, path: str = "/data.bin", **known: Any) -> str:
    """Fetch a file of the site, without pauses; returns what ``fetch`` does."""
    file = Download(url=site.url + path, **known)
    return fetch(file, folder, lambda *_: None, pauses_seconds=(0.0,), timeout_seconds=2.0)


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())
